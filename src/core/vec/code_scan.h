/*
 * code_scan.h
 *	  The sums of a block's table entries, written once; included by code_avx2.c
 *	  and code_neon.c after they have defined
 *
 *	  INLINE			attribute of functions that use the primitives
 *	  Words				sums of bytes in 16-bit lanes, from no_words()
 *	  add_pairs(words, block, table, pairs)		adds so many pairs of groups
 *	  double_words(words)
 *	  Sums, no_sums()	sums of 32 slots in 32-bit lanes
 *	  add_words(sums, words, shift)
 */

/* Pairs of groups that a 16-bit lane can add up */
#define MOST_PAIRS (65535 / 255)

INLINE Sums
scan_block(const CodeQuery *self, const uint8_t *block)
{
	int			bits = self->bits;
	int			pairs = self->dc / 8;
	size_t		plane = (size_t) pairs * 32;
	Sums		sums = no_sums();
	Words		words;

	if (pairs * ((1 << bits) - 1) <= MOST_PAIRS)
	{
		/* all planes fit together: highest first, doubled on the way */
		words = no_words();
		for (int p = bits - 1;; p--)
		{
			add_pairs(&words, block + p * plane, self->table, pairs);
			if (p == 0)
				break;
			double_words(&words);
		}
		add_words(&sums, &words, 0);
		return sums;
	}

	for (int p = 0; p < bits; p++)
	{
		for (int done = 0; done < pairs; done += MOST_PAIRS)
		{
			size_t		at = (size_t) done * 32;

			words = no_words();
			add_pairs(&words, block + p * plane + at, self->table + at,
					  pairs - done < MOST_PAIRS ? pairs - done : MOST_PAIRS);
			add_words(&sums, &words, p);
		}
	}
	return sums;
}
