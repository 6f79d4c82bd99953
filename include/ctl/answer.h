/*
 * Commands as text: one line in; lines of an answer; then a last line, "ok" or "error: what is wrong; what would be right". Knows no sockets.
 *
 * A line is words with blanks between them; a backslash takes the meaning off the byte behind it, so that a name may hold blanks.
 *
 * Before a command may stand the word "json": then the lines of the answer are one, JSON. Of a command that has data, this; of another one an object with
 * the array "messages", its lines; and of one that could not be done an object with "error", and "messages" if there are any. The last line is the same.
 */
#ifndef TPLB_CTL_ANSWER_H
#define TPLB_CTL_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl/render.h"

enum { ANSWER_LINE_MAX = 4096 /* bytes, the newline among them */, ANSWER_WHY_BYTES = 512 };

/*
 * What a command does. words: those behind its name, as many as its row says, and a NULL. Its lines go to out: none of them is "ok" or begins with "error:".
 * False: it could not be done, and why, one line without a newline, says what is wrong and what would be right.
 */
typedef bool answer_run(void *arg, char *const *words, FILE *out, char why[ANSWER_WHY_BYTES]);

/*
 * What a command that has data gives: the caller frees it, and prints it as the row's look says, or as JSON. NULL: it could not be had, and why tells, as above; empty:
 * memory was out.
 */
typedef json_t *answer_data(void *arg, char *const *words, char why[ANSWER_WHY_BYTES]);

/*
 * An answer that is made over a time, and told in pieces: each is bounded, so that it fills no memory, and between two of them other commands are answered.
 */
struct answer_feed {
	/*
	 * Writes the next piece, whole lines, to out. True: there is more, to be asked for at *at (CLOCK_MONOTONIC ns) or later, once this piece was taken. False: that was the
	 * last; why, empty before, says as above what went wrong, if something did.
	 */
	bool (*next)(struct answer_feed *f, FILE *out, int64_t *at, char why[ANSWER_WHY_BYTES]);
	/* Whoever asked has it all, or has left: frees it. */
	void (*end)(struct answer_feed *f);
	bool has_lines; /* its pieces are lines as answer_run's; asked for JSON, they become "messages" at the end, by answer_feed_next */
	json_t *messages; /* answer.c's: those so far; NULL: it is not asked for JSON, or makes its own */
};
/* Begins one; as_json: all of it in one line, if it does not have lines. NULL: it could not be done, and why tells. */
typedef struct answer_feed *answer_begin(
        void *arg, char *const *words, bool as_json, char why[ANSWER_WHY_BYTES]);

struct answer_command {
	const char *name; /* one or more words: "set pool workers" */
	/* What stands behind it, a word for each: "UPSTREAM/SERVER drain|ready"; one in brackets, "[N]", may be left out, with those behind it. "": nothing. */
	const char *arguments;
	const char *help;   /* one line */
	answer_run *run;    /* of text; NULL: it is made of the data */
	answer_data *data;  /* for JSON; NULL: it is made of the text */
	answer_begin *feed; /* in place of both */
	struct render_look look;
};

/*
 * Answers one line (its newline is off, and it is taken apart in place) by the table, which ends with a row whose name is NULL. "help" is known
 * beside it. False: the line holds what no command has, such as control characters; whoever sends that should be left.
 */
bool answer(const struct answer_command *table, void *arg, char *line, size_t len, FILE *out);

/*
 * The same where an answer may come in pieces: *feed is NULL, or goes on with what is in out; the last line is answer_feed_next's. By `answer` such a command is refused.
 */
bool answer_or_feed(const struct answer_command *table, void *arg, char *line, size_t len, FILE *out,
        struct answer_feed **feed);
/* Writes the next piece, and behind the last one the last line. Returns as feed->next does. */
bool answer_feed_next(struct answer_feed *feed, FILE *out, int64_t *at);
/* Calls feed->end. */
void answer_feed_end(struct answer_feed *feed);

/* Writes a word as a line takes it: with backslashes where they are needed. */
void answer_print_word(const char *word, FILE *out);

/* For a word that is nowhere to be found: writes what was meant, "; did you mean \"X\"?", or else the remedy. names: NULL at the end. */
void answer_suggest(const char *word, const char *const *names, const char *remedy, char *why, size_t size);

#endif
