/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-2-4 (Aumasson and Bernstein, 2012) over a packet, with one byte of it taken as 0. */
#ifndef BONGSU_REPAIR_SIPHASH_H
#define BONGSU_REPAIR_SIPHASH_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define RP_KEY 16
#define RP_HOPS 2 /* where it is: a PoP on the way changes it */

static inline uint64_t rp_rotate(uint64_t x, unsigned int by)
{
	return x << by | x >> (64 - by);
}

#define RP_ROUND(a, b, c, d)                                                                       \
	do {                                                                                       \
		a += b;                                                                            \
		c += d;                                                                            \
		b = rp_rotate(b, 13) ^ a;                                                          \
		d = rp_rotate(d, 16) ^ c;                                                          \
		a = rp_rotate(a, 32);                                                              \
		c += b;                                                                            \
		a += d;                                                                            \
		b = rp_rotate(b, 17) ^ c;                                                          \
		d = rp_rotate(d, 21) ^ a;                                                          \
		c = rp_rotate(c, 32);                                                              \
	} while (0)

static inline uint64_t rp_word(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return le64toh(word);
}

/* Little-endian result; `size` is at least 8. */
static inline uint64_t rp_siphash(const uint8_t key[RP_KEY], const uint8_t *data, uint32_t size)
{
	uint64_t k0 = rp_word(key), k1 = rp_word(key + 8);
	uint64_t a = k0 ^ 0x736f6d6570736575ULL, b = k1 ^ 0x646f72616e646f6dULL;
	uint64_t c = k0 ^ 0x6c7967656e657261ULL, d = k1 ^ 0x7465646279746573ULL;
	uint64_t word = rp_word(data) & ~(0xffULL << (8 * RP_HOPS));
	uint8_t last[8] = { 0 };
	uint32_t at = 0;

	for (;;) {
		d ^= word;
		RP_ROUND(a, b, c, d);
		RP_ROUND(a, b, c, d);
		a ^= word;
		at += 8;
		if (at + 8 > size)
			break;
		word = rp_word(data + at);
	}
	memcpy(last, data + at, size - at);
	last[7] = (uint8_t)size;
	word = rp_word(last);
	d ^= word;
	RP_ROUND(a, b, c, d);
	RP_ROUND(a, b, c, d);
	a ^= word;
	c ^= 0xff;
	for (int i = 0; i < 4; i++)
		RP_ROUND(a, b, c, d);
	return htole64(a ^ b ^ c ^ d);
}

#endif
