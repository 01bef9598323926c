/* SPDX-License-Identifier: Apache-2.0 */
#include "notices.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* `fd` stays the caller's. Errors: negative errno. */
int ka_notices_open(struct ka_notices *notices, int fd, uint32_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *produced;
	void *consumed;

	memset(notices, 0, sizeof(*notices));
	notices->fd = -1;
	if (fd < 0)
		return 0;
	consumed = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (consumed == MAP_FAILED)
		return -errno;
	produced = mmap(NULL, page + 2 * (size_t)size, PROT_READ, MAP_SHARED, fd, (off_t)page);
	if (produced == MAP_FAILED) {
		munmap(consumed, page);
		return -errno;
	}
	notices->fd = fd;
	notices->size = size;
	notices->consumed = consumed;
	notices->produced = (const unsigned long *)produced;
	notices->data = produced + page;
	return 0;
}

void ka_notices_close(struct ka_notices *notices)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	if (notices->fd < 0)
		return;
	munmap(notices->consumed, page);
	munmap((void *)notices->produced, page + 2 * (size_t)notices->size);
	notices->fd = -1;
}

/* The next one; false when there is none, or it is still being written. */
bool ka_notices_next(struct ka_notices *notices, struct ka_notice *out)
{
	unsigned long at, end;
	const uint8_t *entry;
	uint32_t length;
	bool taken;

	if (notices->fd < 0)
		return false;
	for (;;) {
		at = __atomic_load_n(notices->consumed, __ATOMIC_ACQUIRE);
		end = __atomic_load_n(notices->produced, __ATOMIC_ACQUIRE);
		if (at >= end)
			return false;
		entry = notices->data + (at & (notices->size - 1));
		length = __atomic_load_n((const uint32_t *)entry, __ATOMIC_ACQUIRE);
		if (length & BPF_RINGBUF_BUSY_BIT)
			return false;
		taken = !(length & BPF_RINGBUF_DISCARD_BIT);
		length &= ~BPF_RINGBUF_DISCARD_BIT;
		taken = taken && length == sizeof(*out);
		if (taken)
			memcpy(out, entry + BPF_RINGBUF_HDR_SZ, sizeof(*out));
		at += (length + BPF_RINGBUF_HDR_SZ + 7) & ~7UL;
		__atomic_store_n(notices->consumed, at, __ATOMIC_RELEASE);
		if (taken)
			return true;
	}
}
