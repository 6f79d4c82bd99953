#include "obs/board.h"

#include "base/sparse.h"

_Static_assert(BOARD_LABEL_SHIFT + LABELS_BITS == BOARD_FD_SHIFT, "a word has room for each label");

const char *doing_word(enum doing doing)
{
	static const char *const words[] = {
#define DOING_WORD(id, word, help) word,
	        DOINGS(DOING_WORD)
#undef DOING_WORD
	};

	return words[doing];
}

const char *doing_help(enum doing doing)
{
	static const char *const helps[] = {
#define DOING_HELP(id, word, help) help,
	        DOINGS(DOING_HELP)
#undef DOING_HELP
	};

	return helps[doing];
}

struct board_entry board_entry_of(uint64_t word)
{
	return (struct board_entry){.doing = (enum doing)(word & 0xff),
	        .asleep = (word & BOARD_ASLEEP) != 0,
	        .label = (unsigned)(word >> BOARD_LABEL_SHIFT) & (LABELS_MAX - 1),
	        .fd = (int)(uint32_t)(word >> BOARD_FD_SHIFT)};
}

struct board_row *board_new(unsigned n)
{
	return sparse_new(n, sizeof(struct board_row));
}

void board_free(struct board_row *rows, unsigned n, unsigned used)
{
	for (unsigned i = 0; rows && i < used; i++)
		trace_free(&rows[i]);
	sparse_free(rows, n, sizeof(struct board_row));
}
