/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * User interface of test_hmm_dma, private to the module and its tests.
 *
 * Each device is /dev/hmm_dma-BDF. read() and write() are for the buffer in the
 * device, at the file's offset; the ioctls are for memory of the process that
 * opened the file.
 */
#ifndef _LIB_TEST_HMM_DMA_UAPI_H
#define _LIB_TEST_HMM_DMA_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The device has 4096 bytes, but some QEMUs abort on access to the last one. */
#define HMM_DMA_BUF_SIZE	2048

/**
 * struct hmm_dma_register - which memory the device may use
 * @addr: page aligned user address
 * @size: multiple of the page size, at most 1 GiB
 * @flags: HMM_DMA_ALLOW_P2P, HMM_DMA_HUGE
 *
 * Once per open file. Nothing is faulted yet.
 *
 * With HMM_DMA_HUGE, @addr and @size are multiples of 2 MiB, and each 2 MiB are
 * faulted and mapped as one entry. If a fault finds that the memory of an entry
 * is not in one piece, all entries become small, and stay small.
 *
 * Errors: EBUSY (done before), EINVAL, EOPNOTSUPP (the device does not reach
 * all memory), ENODEV, ENOMEM.
 */
struct hmm_dma_register {
	__u64 addr;
	__u64 size;
#define HMM_DMA_ALLOW_P2P	0x1
#define HMM_DMA_HUGE		0x2
	__u64 flags;
};

/**
 * struct hmm_dma_fault - fault and map pages, as a NIC prefetches
 * @addr: page aligned user address inside the registered range
 * @size: multiple of the page size
 * @flags: HMM_DMA_WRITE or 0
 * @fail_addr: address of one page whose alias, should it get one, cannot be mapped;
 *	0 for none
 *
 * Errors: those of hmm_range_fault(), EIO (cannot be mapped, not even in RAM:
 * the device has no address left for it), EXDEV (another process' file),
 * EINVAL, ENODEV. After an error any of the pages may be mapped.
 */
struct hmm_dma_fault {
	__u64 addr;
	__u64 size;
#define HMM_DMA_WRITE		0x1
	__u64 flags;
	__u64 fail_addr;
};

/**
 * struct hmm_dma_xfer - one transfer between memory and the device's buffer
 * @addr: user address inside the registered range, faulted if need be; with
 *	HMM_DMA_RAW what the device puts on the bus, mapped or not
 * @size: at most HMM_DMA_BUF_SIZE, not across a page
 * @offset: offset in the device's buffer
 * @flags: HMM_DMA_WRITE to write to memory, HMM_DMA_RAW
 *
 * Errors: as of &struct hmm_dma_fault, EPERM (HMM_DMA_RAW without
 * CAP_SYS_RAWIO), EIO (the device does not finish and is disabled).
 */
struct hmm_dma_xfer {
	__u64 addr;
	__u32 size;
	__u32 offset;
#define HMM_DMA_RAW		0x2
	__u64 flags;
};

/**
 * struct hmm_dma_query - how a page is mapped now; faults nothing
 * @addr: user address inside the registered range
 * @dma_addr: out: the DMA address of the page, 0 if it is not mapped
 * @flags: out: HMM_DMA_PAGE_*, 0 if it is not mapped
 */
struct hmm_dma_query {
	__u64 addr;
	__u64 dma_addr;
#define HMM_DMA_PAGE_MAPPED	0x1
#define HMM_DMA_PAGE_WRITE	0x2
/* It is the alias of a device-private page ... */
#define HMM_DMA_PAGE_ALIAS	0x4
/* ... and @dma_addr is a PCI bus address. */
#define HMM_DMA_PAGE_BUS	0x8
/* It is a part of an entry of 2 MiB. */
#define HMM_DMA_PAGE_HUGE	0x10
	__u64 flags;
};

#define HMM_DMA_REGISTER	_IOW('H', 0x40, struct hmm_dma_register)
#define HMM_DMA_FAULT		_IOW('H', 0x41, struct hmm_dma_fault)
#define HMM_DMA_XFER		_IOW('H', 0x42, struct hmm_dma_xfer)
#define HMM_DMA_QUERY		_IOWR('H', 0x43, struct hmm_dma_query)

#endif /* _LIB_TEST_HMM_DMA_UAPI_H */
