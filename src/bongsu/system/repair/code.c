/* SPDX-License-Identifier: Apache-2.0 */
#include "code.h"

#include <isa-l/erasure_code.h>
#include <pthread.h>

#define TABLE 32 /* bytes that ISA-L wants for one coefficient */
/* Columns are numbered from 0, rows from here, so that their sum is never 0. */
#define FIRST_ROW 128

static uint8_t tables[RP_ROWS * RP_BLOCK * TABLE];

static uint8_t coefficient(uint32_t row, uint32_t column)
{
	return gf_inv((uint8_t)((FIRST_ROW + row) ^ column));
}

static void prepare(void)
{
	uint8_t matrix[RP_ROWS * RP_BLOCK];

	for (uint32_t row = 0; row < RP_ROWS; row++)
		for (uint32_t column = 0; column < RP_BLOCK; column++)
			matrix[row * RP_BLOCK + column] = coefficient(row, column);
	ec_init_tables(RP_BLOCK, RP_ROWS, matrix, tables);
}

void rp_code_init(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, prepare);
}

void rp_code_add(uint32_t rows, uint32_t column, const uint8_t *symbol, uint32_t size,
		 uint8_t *const *parities)
{
	ec_encode_data_update((int)size, RP_BLOCK, (int)rows, (int)column, tables,
			      (uint8_t *)symbol, (uint8_t **)parities);
}

bool rp_code_solve(const struct rp_puzzle *puzzle)
{
	/* the largest puzzle has RP_BLOCK sources for RP_BLOCK results; one thread solves */
	static __thread uint8_t table[RP_BLOCK * RP_BLOCK * TABLE];
	uint8_t square[RP_BLOCK * RP_BLOCK], inverse[RP_BLOCK * RP_BLOCK];
	uint8_t matrix[RP_BLOCK * RP_BLOCK], sum;
	uint32_t e = puzzle->missing, sources = puzzle->have + e;
	uint8_t *from[RP_BLOCK];

	for (uint32_t r = 0; r < e; r++)
		for (uint32_t m = 0; m < e; m++)
			square[r * e + m] = coefficient(puzzle->row[r], puzzle->missing_column[m]);
	if (gf_invert_matrix(square, inverse, (int)e))
		return false;
	for (uint32_t m = 0; m < e; m++) {
		for (uint32_t h = 0; h < puzzle->have; h++) {
			sum = 0;
			for (uint32_t r = 0; r < e; r++)
				sum ^= gf_mul(inverse[m * e + r],
					      coefficient(puzzle->row[r], puzzle->have_column[h]));
			matrix[m * sources + h] = sum;
		}
		memcpy(matrix + m * sources + puzzle->have, inverse + m * e, e);
	}
	for (uint32_t h = 0; h < puzzle->have; h++)
		from[h] = puzzle->symbol[h];
	for (uint32_t r = 0; r < e; r++)
		from[puzzle->have + r] = puzzle->parity[r];
	ec_init_tables((int)sources, (int)e, matrix, table);
	ec_encode_data((int)puzzle->size, (int)sources, (int)e, table, from,
		       (uint8_t **)puzzle->solved);
	return true;
}
