// SPDX-License-Identifier: GPL-2.0
/*
 * Firmware says that root port 00:12.0, which QEMU's own table calls S90, leads
 * out of the machine: the kernel trusts no device below it.
 */
DefinitionBlock ("", "SSDT", 2, "PFAULT", "EXTPORT", 1)
{
	External (\_SB.PCI0.S90, DeviceObj)

	Scope (\_SB.PCI0.S90)
	{
		Name (_DSD, Package ()
		{
			ToUUID ("efcc06cc-73ac-4bc3-bff0-76143807c389"),
			Package ()
			{
				Package () { "ExternalFacingPort", 1 }
			}
		})
	}
}
