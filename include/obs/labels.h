/*
 * Numbers for names, for places where only a word has room: a row of the board, an event of a trace. The same text has the same number for as long as the
 * process lives, and none is forgotten: who finds a number can always tell what it means, whatever was reloaded since. There are as many as
 * different names were ever configured.
 */
#ifndef TPLB_OBS_LABELS_H
#define TPLB_OBS_LABELS_H

enum { LABELS_BITS = 20, LABELS_MAX = 1 << LABELS_BITS, LABEL_NONE = 0 };

/* The number of the text, which is copied; LABEL_NONE when memory is out or there are LABELS_MAX of them. Any thread; takes a lock. */
unsigned label_of(const char *text);

/* The text of a number; "" for LABEL_NONE. It stays good. Any thread, without a lock. */
const char *label_text(unsigned label);

#endif
