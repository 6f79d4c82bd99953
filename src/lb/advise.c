#include "lb/advise.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* At most so many may wait for longer than the target. */
#define LATE_MOST 0.01
/* Processors that were busy for more than this part of the time are what is short. */
#define CPU_SHORT 0.85
/* Workers that were busy for more than this part of the time leave unknown how much more would have come. */
#define ALL_BUSY 0.95

enum { NUMBER_BYTES = 32 };

/* Erlang B for one server more than `before` was for: the share that finds all of them busy and goes away. Stable for any number. */
static double erlang_b(double before, unsigned servers, double load)
{
	return load * before / (servers + load * before);
}

static double c_of_b(double b, unsigned servers, double load)
{
	return load >= servers ? 1 : servers * b / (servers - load * (1 - b));
}

double advise_erlang_c(unsigned servers, double load)
{
	double b = 1;

	for (unsigned c = 1; c <= servers; c++)
		b = erlang_b(b, c, load);
	return c_of_b(b, servers, load);
}

/* Of those who wait, the share that waits for longer than t falls with e^-t. hold: the mean time in hand. */
static double longer_than(double waits, unsigned servers, double load, double t, double hold)
{
	return load >= servers ? 1 : waits * exp(-(servers - load) * t / hold);
}

/* The least number of servers with which few enough wait for longer than t. */
static unsigned least_servers(double load, double t, double hold, unsigned most)
{
	double b = 1;

	for (unsigned c = 1; c < most; c++) {
		b = erlang_b(b, c, load);
		if (longer_than(c_of_b(b, c, load), c, load, t, hold) <= LATE_MOST)
			return c;
	}
	return most;
}

/* The text -----------------------------------------------------------------------------------------------------*/

static void add(struct advice *out, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct advice *out, const char *format, ...)
{
	size_t len = strlen(out->text);
	va_list args;

	va_start(args, format);
	vsnprintf(out->text + len, sizeof(out->text) - len, format, args);
	va_end(args);
}

/* Three digits or so. */
static const char *number(double value, char text[NUMBER_BYTES])
{
	snprintf(text, NUMBER_BYTES, "%.*f", value >= 100 ? 0 : value >= 10 ? 1 : 2, value);
	return text;
}

static const char *duration(double ns, char text[NUMBER_BYTES])
{
	bool s = ns >= (double)CLOCK_NS_PER_S, ms = ns >= (double)CLOCK_NS_PER_MS;

	number(ns / (double)(s ? CLOCK_NS_PER_S : ms ? CLOCK_NS_PER_MS : CLOCK_NS_PER_US), text);
	strcat(text, s ? " s" : ms ? " ms" : " us");
	return text;
}

/* What the numbers come to. */
struct sums {
	double rate; /* requests a ns, refused ones as well */
	double hold; /* ns that a burst keeps its worker, hence a request at most */
	double late; /* share that waits for longer than the target with the workers there are */
	bool cpu_short, late_measured;
	bool all_busy; /* and none was refused: those who wait for their answers may hold further requests back */
};

static void tell_load(const struct advise_input *in, const struct sums *s, struct advice *out)
{
	char rate[NUMBER_BYTES], hold[NUMBER_BYTES], in_hand[NUMBER_BYTES], busy[NUMBER_BYTES];
	char together[NUMBER_BYTES];

	add(out, "%s requests/s x %s in a worker's hands = %s at a time (Little's law: L = lambda x W)\n",
	        number(s->rate * (double)CLOCK_NS_PER_S, rate), duration(s->hold, hold),
	        number(out->in_hand, in_hand));
	if (in->refused > 0)
		add(out,
		        "of these %llu were refused, counted in as if they had been served; who asked again "
		        "counts twice\n",
		        (unsigned long long)in->refused);
	add(out, "%s of %u workers were busy on the average",
	        number((double)in->busy / (double)in->interval, busy), in->workers);
	if (in->dispatched >= in->bursts)
		add(out, ", with %s requests of %u that one takes at once",
		        number((double)in->dispatched / (double)in->bursts, together), in->burst);
	add(out, "\n");
}

static void tell_waits(const struct advise_input *in, const struct sums *s, struct advice *out)
{
	char mean[NUMBER_BYTES], p99[NUMBER_BYTES], target[NUMBER_BYTES], late[NUMBER_BYTES];

	add(out, "in the queue they waited for %s on the average, 99 %% of them for at most %s\n",
	        duration((double)in->wait_mean, mean), duration((double)in->wait_p99, p99));
	duration((double)in->target, target);
	if (out->in_hand < in->workers)
		add(out,
		        "Erlang C, with a worker for each: with %u %s %% wait for longer than %s, with %u 1 "
		        "%% or fewer\n",
		        in->workers, number(100 * s->late, late), target, out->least);
	else
		add(out,
		        "Erlang C, with a worker for each: %u can't keep up, with %u 1 %% or fewer wait for "
		        "longer than %s\n",
		        in->workers, out->least, target);
}

static void tell_workers(const struct advise_input *in, const struct sums *s, struct advice *out)
{
	if (in->cpu >= 0)
		add(out, "the processors were busy with it for %.0f %% of the time%s\n",
		        100 * (double)in->cpu / ((double)in->interval * in->cores),
		        s->cpu_short ? ": they are what is short, and more workers only take turns" : "");
	if (s->all_busy && out->workers > in->workers)
		add(out,
		        "all were busy all the time: how much more would come is not known, so see with %u: "
		        "pool: { workers = %u; };\n",
		        out->workers, out->workers);
	else if (out->workers != in->workers)
		add(out, "so %u would do: pool: { workers = %u; };\n", out->workers, out->workers);
	else if (out->least > in->workers && !s->late_measured)
		add(out, "so the %u that there are do: as measured, 1 %% or fewer waited for longer\n",
		        in->workers);
	else if (out->least < in->workers)
		add(out,
		        "so the %u that there are should do: the waits come of requests in heaps, or of what "
		        "holds up the workers\n",
		        in->workers);
	else
		add(out, "so the %u that there are stay\n", in->workers);
}

/* The arithmetic, but what was measured has the last word, and processors come before workers. */
static unsigned choose(const struct advise_input *in, const struct sums *s, unsigned least)
{
	unsigned twice = in->workers < in->workers_most / 2 ? 2 * in->workers : in->workers_most;

	if (s->late_measured && s->all_busy && !s->cpu_short)
		return least > twice ? least : twice;
	if (least > in->workers)
		return s->late_measured && !s->cpu_short ? least : in->workers;
	return s->late_measured ? in->workers : least;
}

void advise(const struct advise_input *in, struct advice *out)
{
	struct sums s = {0};

	*out = (struct advice){0};
	if (in->dispatched < ADVISE_REQUESTS_MIN || in->bursts == 0 || in->busy <= 0)
		return;
	s.rate = (double)(in->dispatched + in->refused) / (double)in->interval;
	/* A request that was put aside and taken up again makes two bursts of one. */
	uint64_t shares = in->bursts < in->dispatched ? in->bursts : in->dispatched;
	s.hold = (double)in->busy / (double)shares;
	out->in_hand = s.rate * s.hold;
	out->least = least_servers(out->in_hand, (double)in->target, s.hold, in->workers_most);
	s.late = longer_than(advise_erlang_c(in->workers, out->in_hand), in->workers, out->in_hand,
	        (double)in->target, s.hold);
	s.late_measured = in->refused > 0 || in->wait_p99 > in->target;
	s.all_busy = in->refused == 0 && (double)in->busy >= ALL_BUSY * (double)in->interval * in->workers;
	s.cpu_short = in->cpu >= 0 && (double)in->cpu >= CPU_SHORT * (double)in->interval * in->cores;
	out->workers = choose(in, &s, out->least);
	tell_load(in, &s, out);
	tell_waits(in, &s, out);
	tell_workers(in, &s, out);
}
