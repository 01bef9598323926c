/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The code: systematic Reed-Solomon over GF(256) by a Cauchy matrix, so that any `e` rows repair any
 * `e` losses of a block, however long it became. The arithmetic is ISA-L's.
 */
#ifndef BONGSU_REPAIR_CODE_H
#define BONGSU_REPAIR_CODE_H

#include "wire.h"

void rp_code_init(void);
/* Adds packet `column` of a block, `size` bytes of symbol, to `rows` parities. */
void rp_code_add(uint32_t rows, uint32_t column, const uint8_t *symbol, uint32_t size,
		 uint8_t *const *parities);

/* One block to be completed. Symbols and parities have `size` bytes. */
struct rp_puzzle {
	uint32_t size;
	uint32_t have, missing;
	uint8_t have_column[RP_BLOCK];
	uint8_t missing_column[RP_BLOCK];
	uint8_t row[RP_ROWS]; /* the first `missing` of them are used */
	uint8_t *symbol[RP_BLOCK]; /* of have_column */
	uint8_t *parity[RP_ROWS];
	uint8_t *solved[RP_BLOCK]; /* written: of missing_column */
};

/* False only if the rows repeat. */
bool rp_code_solve(const struct rp_puzzle *puzzle);

#endif
