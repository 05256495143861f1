// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A DMA importer on QEMU's edu device: the smallest complete user of
 * hmm_range_fault() with aliases of device-private memory and of
 * hmm_dma_map_pfn(). It is for tests, and a template for the driver of a real
 * device. In the order in which things happen:
 *
 * 1. edu_mr_register() allocates the DMA map and inserts the notifier.
 * 2. edu_fault_and_lock() faults pages, on behalf of the device that will do
 *    the DMA, takes the lock that edu_invalidate() takes, and checks that the
 *    result is still valid.
 * 3. edu_map() maps them, aliases or not, with hmm_dma_map_pfn(). A page whose
 *    alias cannot be mapped is requested once more, in RAM.
 * 4. The device uses the DMA addresses, here under the lock. One that keeps
 *    them in page tables of its own drops the lock as soon as they are there.
 * 5. edu_invalidate() stops the device and unmaps. It is the only thing that
 *    keeps a page, or an alias, in its place: nothing is pinned.
 *
 * No lock is held while pages are faulted, because user space decides how long
 * that takes, with userfaultfd or FUSE. So the MR may be gone afterwards.
 *
 * Nothing here depends on which driver exports the memory. The driver binds to
 * no device by itself, because there may be another one for edu:
 *
 *	echo 1234 11e8 > /sys/bus/pci/drivers/test_hmm_dma/new_id
 */
#include <linux/capability.h>
#include <linux/dma-mapping.h>
#include <linux/hmm.h>
#include <linux/hmm-dma.h>
#include <linux/io.h>
#include <linux/iopoll.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/security.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "test_hmm_dma_uapi.h"

#define EDU_DMA_SRC		0x80
#define EDU_DMA_DST		0x88
#define EDU_DMA_COUNT		0x90
#define EDU_DMA_CMD		0x98
#define EDU_DMA_START		BIT(0)
#define EDU_DMA_TO_BUS		BIT(1)
/* Where the buffer is, in the device's own address space */
#define EDU_BUF			0x40000
/* The real width is the device's property dma_mask, which cannot be read. */
static uint dma_bits = 64;
module_param(dma_bits, uint, 0644);
MODULE_PARM_DESC(dma_bits, "assumed width in bits of a device's DMA addresses; read when it is bound (default: 64)");

/* A transfer takes 100 ms of the virtual machine's time. */
#define EDU_TIMEOUT_US		(10 * USEC_PER_SEC)

/**
 * struct edu_dev - one device, as long as it is bound or a file is open
 * @ref: one for the bound driver, and one for each open file
 * @lock: serializes registration, its end, and unbind; protects @mrs. It is not
 *	held while pages are faulted. Taken before the mmap lock.
 * @gone: unbound; written with both locks held
 * @mrs: MRs that have a notifier
 * @engine_lock: one transfer at a time; innermost lock
 * @broken: the device did not finish a transfer, and is disabled
 * @pdev: the PCI device, with a reference; not to be used if @gone, except as
 *	&hmm_range.p2p_client
 * @regs: BAR 0
 * @bounce: memory for read() and write(); protected by @engine_lock
 * @bounce_dma: its DMA address
 * @misc: the character device
 * @name: its name
 */
struct edu_dev {
	struct kref ref;
	struct mutex lock;
	bool gone;
	struct list_head mrs;
	struct mutex engine_lock;
	bool broken;
	struct pci_dev *pdev;
	void __iomem *regs;
	void *bounce;
	dma_addr_t bounce_dma;
	struct miscdevice misc;
	char name[32];
};

/**
 * struct edu_mr - an open file and its memory region
 * @dev: the device
 * @link: in &struct edu_dev.mrs
 * @notifier: of the whole range; its mm is the opener's
 * @start: first user address
 * @npages: 0 until the range is registered
 * @p2p: aliases are requested
 * @lock: held by edu_invalidate(), and while the device accesses memory;
 *	protects @registered, @map and @dma
 * @registered: @start, @npages and @p2p are final, @map and @dma are there, and
 *	the device may be used
 * @map: the pages and where they are mapped. All its entries are of one size,
 *	as those of a NIC's translation table: PAGE_SIZE, or PMD_SIZE as long as
 *	all memory comes in such pieces
 * @dma: the DMA address of each entry of @map that is mapped
 */
struct edu_mr {
	struct edu_dev *dev;
	struct list_head link;
	struct mmu_interval_notifier notifier;
	unsigned long start;
	unsigned long npages;
	bool p2p;
	struct mutex lock;
	bool registered;
	struct hmm_dma_map map;
	dma_addr_t *dma;
};

static void edu_free(struct kref *ref)
{
	struct edu_dev *dev = container_of(ref, struct edu_dev, ref);

	pci_dev_put(dev->pdev);
	kfree(dev);
}

/* The registers of a device that was pulled out read as all ones. */
static bool edu_done(u64 cmd)
{
	return !(cmd & EDU_DMA_START) || cmd == U64_MAX;
}

/*
 * While QEMU unplugs any device, registers may read as zero for a moment, and
 * writes get lost. So nothing here rests on a single access.
 */
static int edu_set_addr(struct edu_dev *dev, u64 src, u64 dst, u32 size)
{
	unsigned int tries;

	for (tries = 0; tries < 10; tries++) {
		writeq(src, dev->regs + EDU_DMA_SRC);
		writeq(dst, dev->regs + EDU_DMA_DST);
		writeq(size, dev->regs + EDU_DMA_COUNT);
		if (readq(dev->regs + EDU_DMA_SRC) == src &&
		    readq(dev->regs + EDU_DMA_DST) == dst &&
		    readq(dev->regs + EDU_DMA_COUNT) == size)
			return 0;
		usleep_range(1000, 2000);
	}
	return -EIO;
}

static int edu_wait(struct edu_dev *dev)
{
	u64 cmd;
	int ret;

	do {
		ret = readq_poll_timeout(dev->regs + EDU_DMA_CMD, cmd,
					 edu_done(cmd), 1000, EDU_TIMEOUT_US);
		if (ret)
			return ret;
		usleep_range(1000, 2000);
		cmd = readq(dev->regs + EDU_DMA_CMD);
	} while (!edu_done(cmd));

	return cmd == U64_MAX || !pci_device_is_present(dev->pdev) ? -EIO : 0;
}

/*
 * Moves bytes between a bus address and the buffer. When this returns the
 * device is idle, whatever happened: callers hold what keeps @addr mapped.
 */
static int edu_transfer_locked(struct edu_dev *dev, dma_addr_t addr, u32 offset,
			       u32 size, bool to_bus)
{
	u64 buf = EDU_BUF + offset;
	int ret;

	lockdep_assert_held(&dev->engine_lock);

	if (dev->gone)
		return -ENODEV;
	if (dev->broken)
		return -EIO;

	ret = edu_set_addr(dev, to_bus ? buf : addr, to_bus ? addr : buf, size);
	if (!ret) {
		writeq(EDU_DMA_START | (to_bus ? EDU_DMA_TO_BUS : 0),
		       dev->regs + EDU_DMA_CMD);
		ret = edu_wait(dev);
	}
	if (ret) {
		pci_clear_master(dev->pdev);
		dev->broken = true;
		ret = -EIO;
	}
	return ret;
}

static int edu_transfer(struct edu_dev *dev, dma_addr_t addr, u32 offset,
			u32 size, bool to_bus)
{
	guard(mutex)(&dev->engine_lock);

	return edu_transfer_locked(dev, addr, offset, size, to_bus);
}

static size_t edu_entry(struct edu_mr *mr, unsigned long addr)
{
	return (addr - mr->start) / mr->map.dma_entry_size;
}

static dma_addr_t edu_dma_addr(struct edu_mr *mr, unsigned long addr)
{
	return mr->dma[edu_entry(mr, addr)] +
	       (addr - mr->start) % mr->map.dma_entry_size;
}

/*
 * Unmap the pages in [addr, end). An entry that loses a part of its pages loses
 * all of them.
 */
static void edu_unmap(struct edu_mr *mr, unsigned long addr, unsigned long end)
{
	size_t idx;

	lockdep_assert_held(&mr->lock);

	for (idx = edu_entry(mr, addr); idx <= edu_entry(mr, end - 1); idx++) {
		unsigned long pfn = mr->map.pfn_list[idx];

		/* hmm_range_fault() has dirtied the folio of an alias. */
		if (hmm_dma_unmap_pfn(&mr->dev->pdev->dev, &mr->map, idx) &&
		    (pfn & HMM_PFN_WRITE) && !(pfn & HMM_PFN_ALIAS))
			set_page_dirty(compound_head(hmm_pfn_to_page(pfn)));
		mr->map.pfn_list[idx] = 0;
	}
}

static bool edu_invalidate(struct mmu_interval_notifier *mni,
			   const struct mmu_notifier_range *range,
			   unsigned long cur_seq)
{
	struct edu_mr *mr = container_of(mni, struct edu_mr, notifier);

	if (!mmu_notifier_range_blockable(range))
		return false;

	/*
	 * The lock is held over whole transfers: once we have it the device is
	 * idle, and once the pages are unmapped it cannot reach them.
	 */
	mutex_lock(&mr->lock);
	mmu_interval_set_seq(mni, cur_seq);
	edu_unmap(mr, max(range->start, mr->start),
		  min(range->end, mr->start + mr->npages * PAGE_SIZE));
	mutex_unlock(&mr->lock);
	return true;
}

static const struct mmu_interval_notifier_ops edu_notifier_ops = {
	.invalidate = edu_invalidate,
};

/*
 * Switch the MR to small entries, because its memory is not, or no longer, in
 * pieces as large as its entries: a piece was split, or has a hole. Returns
 * false if the entries were small before.
 */
static bool edu_split(struct edu_mr *mr)
{
	bool split;

	mutex_lock(&mr->lock);
	split = mr->registered && mr->map.dma_entry_size != PAGE_SIZE;
	if (split) {
		edu_unmap(mr, mr->start, mr->start + mr->npages * PAGE_SIZE);
		/* It was allocated for this many entries, whatever their size */
		mr->map.dma_entry_size = PAGE_SIZE;
	}
	mutex_unlock(&mr->lock);
	return split;
}

/*
 * Map the pages of @range. An entry that cannot be mapped is copied back to
 * range->hmm_pfns, where hmm_range_drop_p2p() needs it.
 */
static int edu_map(struct edu_mr *mr, struct hmm_range *range,
		   unsigned long fail)
{
	const unsigned long mapped = HMM_PFN_DMA_MAPPED | HMM_PFN_P2PDMA |
				     HMM_PFN_P2PDMA_BUS;
	const size_t size = mr->map.dma_entry_size;
	struct pci_p2pdma_map_state state = {};
	size_t idx = edu_entry(mr, range->start);
	unsigned long *answer = range->hmm_pfns;
	unsigned long start;
	int ret = 0;

	lockdep_assert_held(&mr->lock);

	for (start = range->start; start < range->end;
	     start += size, answer += size / PAGE_SIZE, idx++) {
		unsigned long *pfn = &mr->map.pfn_list[idx];
		dma_addr_t addr;

		/* The pages of an entry must be one piece of memory. */
		if (PAGE_SIZE << hmm_pfn_to_map_order(*answer) < size)
			return -EFAULT;

		/* If it had moved, it would have been unmapped. */
		*pfn = (*pfn & mapped) | *answer;

		/* Make the mapping fail: no provider has pfn 0. */
		if (fail - start < size && (*pfn & HMM_PFN_ALIAS) &&
		    !(*pfn & HMM_PFN_DMA_MAPPED))
			*pfn &= HMM_PFN_FLAGS;

		addr = hmm_dma_map_pfn(&mr->dev->pdev->dev, &mr->map, idx,
				       &state);
		if (dma_mapping_error(&mr->dev->pdev->dev, addr)) {
			*answer = *pfn;
			*pfn = 0;
			ret = -EIO;
			continue;
		}
		mr->dma[idx] = addr;
	}
	return ret;
}

/*
 * Returns 0 with mr->lock held: until it is dropped, the MR stays, and its pages
 * stay mapped and stay in place.
 */
static int edu_fault_and_lock(struct edu_mr *mr, unsigned long start,
			      unsigned long end, bool write, unsigned long fail)
{
	const size_t size = READ_ONCE(mr->map.dma_entry_size);
	struct hmm_range range = {
		.notifier = &mr->notifier,
		/* Entries are mapped whole. */
		.start = ALIGN_DOWN(start, size),
		.end = ALIGN(end, size),
		.default_flags = HMM_PFN_REQ_FAULT |
				 (write ? HMM_PFN_REQ_WRITE : 0) |
				 (mr->p2p ? HMM_PFN_REQ_ALLOW_P2P : 0),
		/* The device that will access the pages */
		.p2p_client = &mr->dev->pdev->dev,
	};
	int ret;

	/*
	 * Do not let it write into the map: until the lock is held and the
	 * sequence is checked, the result may be stale, and edu_invalidate()
	 * may change the map.
	 */
	range.hmm_pfns = kvcalloc((range.end - range.start) >> PAGE_SHIFT,
				  sizeof(*range.hmm_pfns), GFP_KERNEL);
	if (!range.hmm_pfns)
		return -ENOMEM;

	for (;;) {
		ret = hmm_range_fault_unlocked_timeout(&range,
			msecs_to_jiffies(HMM_RANGE_DEFAULT_TIMEOUT));
		if (ret)
			break;
		mutex_lock(&mr->lock);
		/* Without a notifier, nothing says that pages have moved. */
		if (!mr->registered) {
			mutex_unlock(&mr->lock);
			ret = -ENODEV;
			break;
		}
		if (mmu_interval_read_retry(range.notifier,
					    range.notifier_seq)) {
			mutex_unlock(&mr->lock);
			continue;
		}
		ret = edu_map(mr, &range, fail);
		if (!ret)
			break;
		mutex_unlock(&mr->lock);
		if (!hmm_range_drop_p2p(&range))
			break;
	}
	kvfree(range.hmm_pfns);
	/* Pages outside of [start, end) may be to blame: retry without them. */
	if ((ret == -EFAULT || ret == -EPERM) && edu_split(mr))
		ret = edu_fault_and_lock(mr, start, end, write, fail);
	return ret;
}

static int edu_mr_register(struct edu_mr *mr,
			   const struct hmm_dma_register *args)
{
	const size_t entry = args->flags & HMM_DMA_HUGE ? PMD_SIZE : PAGE_SIZE;
	struct device *dma_dev = &mr->dev->pdev->dev;
	int ret;

	lockdep_assert_held(&mr->dev->lock);

	if (mr->npages)
		return -EBUSY;
	if (!args->size || args->size > SZ_1G ||
	    !IS_ALIGNED(args->addr | args->size, entry) ||
	    args->flags & ~(HMM_DMA_ALLOW_P2P | HMM_DMA_HUGE))
		return -EINVAL;

	mr->dma = kvcalloc(args->size >> PAGE_SHIFT, sizeof(*mr->dma),
			   GFP_KERNEL);
	if (!mr->dma)
		return -ENOMEM;
	ret = hmm_dma_map_alloc(dma_dev, &mr->map, args->size >> PAGE_SHIFT,
				entry);
	if (ret)
		goto err_dma;

	/* edu_invalidate() needs these, and may be called after the insert */
	mr->p2p = args->flags & HMM_DMA_ALLOW_P2P;
	mr->start = args->addr;
	mr->npages = args->size >> PAGE_SHIFT;
	ret = mmu_interval_notifier_insert(&mr->notifier, current->mm,
					   args->addr, args->size,
					   &edu_notifier_ops);
	if (ret)
		goto err_map;
	list_add(&mr->link, &mr->dev->mrs);
	mutex_lock(&mr->lock);
	mr->registered = true;
	mutex_unlock(&mr->lock);
	return 0;

err_map:
	mr->npages = 0;
	hmm_dma_map_free(dma_dev, &mr->map);
err_dma:
	kvfree(mr->dma);
	return ret;
}

static void edu_mr_unregister(struct edu_mr *mr)
{
	lockdep_assert_held(&mr->dev->lock);

	mmu_interval_notifier_remove(&mr->notifier);
	mutex_lock(&mr->lock);
	mr->registered = false;
	edu_unmap(mr, mr->start, mr->start + mr->npages * PAGE_SIZE);
	mutex_unlock(&mr->lock);
	hmm_dma_map_free(&mr->dev->pdev->dev, &mr->map);
	kvfree(mr->dma);
	list_del_init(&mr->link);
}

/* Is this memory of the MR, and is the caller the process that owns it? */
static int edu_mr_check_locked(struct edu_mr *mr, u64 addr, u64 size)
{
	lockdep_assert_held(&mr->lock);

	if (READ_ONCE(mr->dev->gone))
		return -ENODEV;
	if (!mr->registered || !size || addr < mr->start ||
	    addr - mr->start >= mr->npages * PAGE_SIZE ||
	    size > mr->npages * PAGE_SIZE - (addr - mr->start))
		return -EINVAL;
	return current->mm == mr->notifier.mm ? 0 : -EXDEV;
}

static int edu_mr_check(struct edu_mr *mr, u64 addr, u64 size)
{
	guard(mutex)(&mr->lock);

	return edu_mr_check_locked(mr, addr, size);
}

static int edu_mr_fault(struct edu_mr *mr, const struct hmm_dma_fault *args)
{
	int ret = edu_mr_check(mr, args->addr, args->size);

	if (ret)
		return ret;
	if (!PAGE_ALIGNED(args->addr | args->size) ||
	    args->flags & ~HMM_DMA_WRITE)
		return -EINVAL;

	ret = edu_fault_and_lock(mr, args->addr, args->addr + args->size,
				 args->flags & HMM_DMA_WRITE, args->fail_addr);
	if (!ret)
		mutex_unlock(&mr->lock);
	return ret;
}

static int edu_mr_xfer(struct edu_mr *mr, const struct hmm_dma_xfer *args)
{
	const bool write = args->flags & HMM_DMA_WRITE;
	const unsigned long want = HMM_PFN_DMA_MAPPED |
				   (write ? HMM_PFN_WRITE : 0);
	unsigned long page = args->addr & PAGE_MASK;
	int ret;

	if (args->flags & ~(HMM_DMA_WRITE | HMM_DMA_RAW) || !args->size ||
	    args->offset > HMM_DMA_BUF_SIZE ||
	    args->size > HMM_DMA_BUF_SIZE - args->offset ||
	    args->size > PAGE_SIZE - offset_in_page(args->addr))
		return -EINVAL;

	if (args->flags & HMM_DMA_RAW) {
		if (!capable(CAP_SYS_RAWIO))
			return -EPERM;
		ret = security_locked_down(LOCKDOWN_PCI_ACCESS);
		if (ret)
			return ret;
		return edu_transfer(mr->dev, args->addr, args->offset,
				    args->size, write);
	}

	mutex_lock(&mr->lock);
	ret = edu_mr_check_locked(mr, args->addr, args->size);
	if (ret) {
		mutex_unlock(&mr->lock);
		return ret;
	}
	if ((mr->map.pfn_list[edu_entry(mr, page)] & want) != want) {
		mutex_unlock(&mr->lock);
		ret = edu_fault_and_lock(mr, page, page + PAGE_SIZE, write, 0);
		if (ret)
			return ret;
	}
	ret = edu_transfer(mr->dev, edu_dma_addr(mr, args->addr), args->offset,
			   args->size, write);
	mutex_unlock(&mr->lock);
	return ret;
}

static int edu_mr_query(struct edu_mr *mr, struct hmm_dma_query *args)
{
	unsigned long pfn;
	int ret;

	guard(mutex)(&mr->lock);
	ret = edu_mr_check_locked(mr, args->addr, 1);
	if (ret)
		return ret;

	args->flags = 0;
	args->dma_addr = 0;
	pfn = mr->map.pfn_list[edu_entry(mr, args->addr)];
	if (!(pfn & HMM_PFN_DMA_MAPPED))
		return 0;
	args->dma_addr = edu_dma_addr(mr, args->addr & PAGE_MASK);
	args->flags |= HMM_DMA_PAGE_MAPPED;
	if (pfn & HMM_PFN_WRITE)
		args->flags |= HMM_DMA_PAGE_WRITE;
	if (pfn & HMM_PFN_ALIAS)
		args->flags |= HMM_DMA_PAGE_ALIAS;
	if (pfn & HMM_PFN_P2PDMA_BUS)
		args->flags |= HMM_DMA_PAGE_BUS;
	if (mr->map.dma_entry_size != PAGE_SIZE)
		args->flags |= HMM_DMA_PAGE_HUGE;
	return 0;
}

static long edu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct edu_mr *mr = file->private_data;
	void __user *uarg = (void __user *)arg;
	union {
		struct hmm_dma_register reg;
		struct hmm_dma_fault fault;
		struct hmm_dma_xfer xfer;
		struct hmm_dma_query query;
	} args;
	long ret;

	if (_IOC_SIZE(cmd) > sizeof(args))
		return -ENOTTY;
	if (copy_from_user(&args, uarg, _IOC_SIZE(cmd)))
		return -EFAULT;

	switch (cmd) {
	case HMM_DMA_REGISTER:
		ret = mutex_lock_interruptible(&mr->dev->lock);
		if (ret)
			return ret;
		ret = mr->dev->gone ? -ENODEV : edu_mr_register(mr, &args.reg);
		mutex_unlock(&mr->dev->lock);
		break;
	case HMM_DMA_FAULT:
		ret = edu_mr_fault(mr, &args.fault);
		break;
	case HMM_DMA_XFER:
		ret = edu_mr_xfer(mr, &args.xfer);
		break;
	case HMM_DMA_QUERY:
		ret = edu_mr_query(mr, &args.query);
		break;
	default:
		ret = -ENOTTY;
	}

	if (!ret && cmd == HMM_DMA_QUERY &&
	    copy_to_user(uarg, &args, sizeof(args.query)))
		ret = -EFAULT;
	return ret;
}

/* read() and write() access the device's buffer, through @bounce. */
static ssize_t edu_buf_rw(struct edu_mr *mr, char __user *to,
			  const char __user *from, size_t size, loff_t *pos)
{
	struct edu_dev *dev = mr->dev;
	void *buf;
	ssize_t ret;

	if (*pos < 0)
		return -EINVAL;
	if (*pos >= HMM_DMA_BUF_SIZE)
		return 0;
	size = min_t(size_t, size, HMM_DMA_BUF_SIZE - *pos);
	if (!size)
		return 0;

	/* A copy of its own, so that no lock is held over a page fault */
	buf = kzalloc(size, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	ret = -EFAULT;
	if (from && copy_from_user(buf, from, size))
		goto out;

	mutex_lock(&dev->engine_lock);
	ret = dev->gone ? -ENODEV : 0;
	if (!ret) {
		if (from)
			memcpy(dev->bounce, buf, size);
		ret = edu_transfer_locked(dev, dev->bounce_dma, *pos, size,
					  !from);
	}
	if (!ret && to)
		memcpy(buf, dev->bounce, size);
	mutex_unlock(&dev->engine_lock);
	if (ret)
		goto out;

	ret = -EFAULT;
	if (to && copy_to_user(to, buf, size))
		goto out;
	*pos += size;
	ret = size;
out:
	kfree(buf);
	return ret;
}

static ssize_t edu_read(struct file *file, char __user *buf, size_t size,
			loff_t *pos)
{
	return edu_buf_rw(file->private_data, buf, NULL, size, pos);
}

static ssize_t edu_write(struct file *file, const char __user *buf,
			 size_t size, loff_t *pos)
{
	return edu_buf_rw(file->private_data, NULL, buf, size, pos);
}

static int edu_open(struct inode *inode, struct file *file)
{
	struct edu_dev *dev = container_of(file->private_data, struct edu_dev,
					   misc);
	struct edu_mr *mr = kzalloc_obj(*mr);

	if (!mr)
		return -ENOMEM;
	mutex_init(&mr->lock);
	INIT_LIST_HEAD(&mr->link);
	/* misc_deregister() waits for open(), so the device still exists. */
	kref_get(&dev->ref);
	mr->dev = dev;
	file->private_data = mr;
	return 0;
}

static int edu_release(struct inode *inode, struct file *file)
{
	struct edu_mr *mr = file->private_data;
	struct edu_dev *dev = mr->dev;

	mutex_lock(&dev->lock);
	if (!list_empty(&mr->link))
		edu_mr_unregister(mr);
	mutex_unlock(&dev->lock);
	kref_put(&dev->ref, edu_free);
	kfree(mr);
	return 0;
}

static const struct file_operations edu_fops = {
	.owner = THIS_MODULE,
	.open = edu_open,
	.release = edu_release,
	.read = edu_read,
	.write = edu_write,
	.unlocked_ioctl = edu_ioctl,
	.llseek = default_llseek,
};

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu_dev *dev;
	int ret;

	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	ret = dma_set_mask_and_coherent(&pdev->dev,
					DMA_BIT_MASK(clamp(dma_bits, 24, 64)));
	if (ret)
		return ret;

	dev = kzalloc_obj(*dev);
	if (!dev)
		return -ENOMEM;
	kref_init(&dev->ref);
	mutex_init(&dev->lock);
	mutex_init(&dev->engine_lock);
	INIT_LIST_HEAD(&dev->mrs);
	dev->pdev = pci_dev_get(pdev);
	dev->regs = pcim_iomap_region(pdev, 0, KBUILD_MODNAME);
	if (IS_ERR(dev->regs)) {
		ret = PTR_ERR(dev->regs);
		goto err;
	}
	dev->bounce = dmam_alloc_coherent(&pdev->dev, HMM_DMA_BUF_SIZE,
					  &dev->bounce_dma, GFP_KERNEL);
	if (!dev->bounce) {
		ret = -ENOMEM;
		goto err;
	}

	pci_set_master(pdev);
	pci_set_drvdata(pdev, dev);
	snprintf(dev->name, sizeof(dev->name), "hmm_dma-%s", pci_name(pdev));
	dev->misc.minor = MISC_DYNAMIC_MINOR;
	dev->misc.name = dev->name;
	dev->misc.fops = &edu_fops;
	dev->misc.parent = &pdev->dev;
	ret = misc_register(&dev->misc);
	if (ret)
		goto err_master;
	return 0;

err_master:
	pci_clear_master(pdev);
err:
	kref_put(&dev->ref, edu_free);
	return ret;
}

/* Files may stay open, but their MRs are removed. */
static void edu_remove(struct pci_dev *pdev)
{
	struct edu_dev *dev = pci_get_drvdata(pdev);
	struct edu_mr *mr, *next;

	misc_deregister(&dev->misc);
	mutex_lock(&dev->lock);
	/* Waits for the transfer in progress; there is none after it. */
	mutex_lock(&dev->engine_lock);
	WRITE_ONCE(dev->gone, true);
	mutex_unlock(&dev->engine_lock);
	list_for_each_entry_safe(mr, next, &dev->mrs, link)
		edu_mr_unregister(mr);
	mutex_unlock(&dev->lock);
	pci_clear_master(pdev);
	kref_put(&dev->ref, edu_free);
}

static struct pci_driver edu_driver = {
	.name = KBUILD_MODNAME,
	.id_table = NULL, /* only dynamic IDs, and driver_override */
	.probe = edu_probe,
	.remove = edu_remove,
};
module_pci_driver(edu_driver);

MODULE_DESCRIPTION("Test of hmm_range_fault() and hmm_dma_map_pfn() on QEMU's edu device");
MODULE_LICENSE("GPL");
