// SPDX-License-Identifier: GPL-2.0
/*
 * As external-facing, for root port 00:13.0, which QEMU's own table calls S98: that
 * of HCA0.
 */
DefinitionBlock ("", "SSDT", 2, "PFAULT", "EXTHCA", 1)
{
	External (\_SB.PCI0.S98, DeviceObj)

	Scope (\_SB.PCI0.S98)
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
