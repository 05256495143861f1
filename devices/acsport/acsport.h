/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A downstream port of a PCIe switch that has ACS: QEMU's xio3130-downstream, which
 * has none, with that capability. So the kernel can have requests between the
 * ports redirected upstream, and sees whether they are.
 *
 * What it shows is what the kernel makes of the capability's registers. QEMU routes
 * no request inside a switch, whatever ACS says: with an IOMMU every request
 * goes there, as with redirection on.
 */
#ifndef ACSPORT_H
#define ACSPORT_H

#define TYPE_ACSPORT "acsport-model"

#endif
