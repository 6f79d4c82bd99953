#include "ctl/top.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "ctl/fetch.h"
#include "ctl/render.h"
#include "ctl/terminal.h"
#include "ctl/top_view.h"

#define PATIENCE_NS (5 * CLOCK_NS_PER_S)
#define DEFAULT_SORT 4 /* the column of requests a second */

/* What is shown of it, where this tplb has it. */
static const char *const shown[] = {"status", "pool", "queue", "counters", "servers", "workers", NULL};

struct top {
	const struct top_options *options;
	int signals;
	bool live; /* it has a screen of its own */
	bool paused;
	bool over;
	int status; /* of the exit */
	struct fetch fetch;
	int64_t begin_at;   /* the next look */
	int64_t give_up_at; /* the one that is under way */
	struct top_sample before, now;
	unsigned long frames; /* with rates, so far */
	struct top_look look;
	char why[CLIENT_WHY_BYTES]; /* what is wrong just now; "": nothing */
};

/* One line, and the end. */
static void die(struct top *t, const char *why)
{
	terminal_leave();
	fprintf(stderr, "tplbctl: %s\n", why);
	t->status = EXIT_FAILURE;
	t->over = true;
}

static void print_frame(struct top *t, FILE *out)
{
	unsigned width = 0, height = 0;

	if (t->options->as_json) {
		(void)render_json(t->now.data, out);
		putc('\n', out);
		return;
	}
	if (t->live) {
		terminal_size(&width, &height);
		fputs("\033[H", out);
	}
	t->look.colours = t->live;
	t->look.width = width;
	t->look.height = height > 1 ? height - 1 : height;
	top_view_print(&t->before, &t->now, &t->look, out);
	if (t->live)
		fprintf(out, "\033[J\033[%u;1H\033[2m%.*s\033[0m\033[K", height, (int)width,
		        t->why[0]   ? t->why
		        : t->paused ? "paused; space goes on"
		                    : "q quit   space pause   < > sort by another column   r the other way "
		                      "round");
	else
		putc('\n', out);
}

/* As one write: a frame is never seen by halves. */
static void draw(struct top *t)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return;
	print_frame(t, out);
	if (fclose(out) == 0) {
		bool written = t->live ? terminal_write(t->signals, text, len)
		                       : fwrite(text, 1, len, stdout) == len && fflush(stdout) == 0;
		if (!written)
			die(t, "cannot write to standard output");
	}
	free(text);
}

static void redraw(struct top *t)
{
	if (t->live && !t->over)
		draw(t);
}

static void take_sample(struct top *t, json_t *data)
{
	json_decref(t->before.data);
	t->before = t->now;
	t->now = (struct top_sample){data, clock_now()};
	t->why[0] = '\0';
	if (!t->before.data && !t->options->as_json && isatty(STDIN_FILENO) && terminal_enter())
		t->live = true;
	if (!t->before.data) { /* there are no rates yet */
		redraw(t);
		return;
	}
	draw(t);
	t->frames++;
	t->over |= t->frames == t->options->iterations;
}

/* Who looks on a screen waits until there is a tplb again; rates begin anew. */
static void take_failure(struct top *t)
{
	if (!t->live) {
		die(t, t->why);
		return;
	}
	json_decref(t->before.data);
	t->before = (struct top_sample){.data = NULL};
	redraw(t);
}

static void begin(struct top *t, int64_t now)
{
	t->begin_at = now + t->options->delay;
	t->give_up_at = now + PATIENCE_NS;
	if (!fetch_begin(&t->fetch, t->options->socket, shown, t->why))
		take_failure(t);
}

static void go_on(struct top *t)
{
	enum fetch_state state = fetch_read(&t->fetch, t->why);

	if (state == FETCH_DONE) {
		json_t *data = t->fetch.data;

		t->fetch.data = NULL;
		take_sample(t, data);
	} else if (state == FETCH_FAILED) {
		take_failure(t);
	}
}

static void give_up(struct top *t)
{
	fetch_end(&t->fetch);
	snprintf(t->why, sizeof(t->why), "no answer for %d s; does tplb still run? Its log may tell",
	        (int)(PATIENCE_NS / CLOCK_NS_PER_S));
	take_failure(t);
}

static void take_key(struct top *t)
{
	int key = terminal_key();

	if (key == 'q' || key == 'Q' || key == 4 || key == KEY_END)
		t->over = true;
	else if (key == ' ')
		t->paused = !t->paused;
	else if (key == '<' || key == ',' || key == KEY_LEFT)
		t->look.sort = (t->look.sort + TOP_COLUMNS - 1) % TOP_COLUMNS;
	else if (key == '>' || key == '.' || key == KEY_RIGHT)
		t->look.sort = (t->look.sort + 1) % TOP_COLUMNS;
	else if (key == 'r')
		t->look.reverse = !t->look.reverse;
	else
		return;
	redraw(t);
}

static void take_signal(struct top *t)
{
	int number = terminal_signal(t->signals);

	if (number == SIGTSTP)
		terminal_stop();
	if (number == SIGTSTP || number == SIGCONT) {
		if (t->live && !terminal_enter()) /* it went on in the background, or the terminal is gone */
			t->over = true;
		redraw(t);
	} else if (number == SIGWINCH) {
		redraw(t);
	} else if (number != 0) {
		terminal_die(number);
	}
}

/* One wait, and what came of it. */
static void turn(struct top *t)
{
	struct pollfd fds[3] = {
	        {.fd = t->signals, .events = POLLIN}, {.fd = t->live ? STDIN_FILENO : -1, .events = POLLIN}};
	int64_t now = clock_now();
	bool waits = t->fetch.fd >= 0;

	if (!waits && !t->paused && now >= t->begin_at) {
		begin(t, now);
		return;
	}
	fds[2] = (struct pollfd){.fd = t->fetch.fd, .events = POLLIN};
	int64_t until = waits ? t->give_up_at : t->paused ? CLOCK_NEVER : t->begin_at;
	int ready = poll(fds, 3, clock_poll_ms(now, until));
	if (ready == 0 && waits && clock_now() >= until)
		give_up(t);
	if (ready <= 0)
		return;
	if (fds[0].revents)
		take_signal(t);
	if (fds[1].revents)
		take_key(t);
	if (fds[2].revents && t->fetch.fd >= 0)
		go_on(t);
}

int top_run(const struct top_options *options)
{
	struct top t = {.options = options,
	        .signals = terminal_signals(),
	        .fetch = {.fd = -1},
	        .look = {.sort = DEFAULT_SORT},
	        .status = EXIT_SUCCESS};

	if (t.signals < 0) {
		fprintf(stderr, "tplbctl: cannot take signals: %s\n", strerror(-t.signals));
		return EXIT_FAILURE;
	}
	while (!t.over)
		turn(&t);
	terminal_leave();
	fetch_end(&t.fetch);
	json_decref(t.before.data);
	json_decref(t.now.data);
	close(t.signals);
	return t.status;
}
