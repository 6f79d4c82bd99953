#include "load/result.h"

#include <inttypes.h>
#include <stdlib.h>

static double seconds(int64_t ns)
{
	return (double)ns / (double)CLOCK_NS_PER_S;
}

static double ms(int64_t ns)
{
	return (double)ns / (double)CLOCK_NS_PER_MS;
}

static double rps(const struct load_result *r)
{
	return r->lasted > 0 ? (double)r->answered / seconds(r->lasted) : 0;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

struct load_clients load_clients_of(uint64_t *answers, unsigned count)
{
	struct load_clients c = {.count = count};

	if (count == 0)
		return c;
	qsort(answers, count, sizeof(*answers), compare);
	for (unsigned i = 0; i < count; i++)
		c.answered += answers[i] > 0;
	c.min = answers[0];
	c.p10 = answers[(count - 1) / 10];
	c.median = answers[(count - 1) / 2];
	c.p90 = answers[(size_t)(count - 1) * 9 / 10];
	c.max = answers[count - 1];
	return c;
}

/* Text ---------------------------------------------------------------------------------------------------------*/

static void print_times(const char *name, const struct histogram *h, FILE *out)
{
	fprintf(out, "%-10s %9.3f %9.3f %9.3f %9.3f %9.3f %9.3f\n", name,
	        histogram_mean(h) / (double)CLOCK_NS_PER_MS, ms(histogram_percentile(h, 50)),
	        ms(histogram_percentile(h, 90)), ms(histogram_percentile(h, 99)),
	        ms(histogram_percentile(h, 99.9)), ms(h->max));
}

static void print_errors(const struct load_result *r, FILE *out)
{
	const struct {
		const char *name;
		uint64_t count;
	} errors[] = {{"connect", r->errors.connect}, {"read", r->errors.read}, {"write", r->errors.write},
	        {"timeout", r->errors.timeout}, {"status 400 or more", r->errors.status}};
	bool any = false;

	fprintf(out, "errors    ");
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		if (errors[i].count > 0)
			fprintf(out, "%s %s %" PRIu64, any ? "," : "", errors[i].name, errors[i].count);
		any = any || errors[i].count > 0;
	}
	fprintf(out, "%s\n", any ? "" : " none");
}

void load_print_text(const struct load_options *o, const struct load_result *r, FILE *out)
{
	const struct load_clients *c = &r->clients;

	fprintf(out, "%s: %u connections, ", o->text, o->connections);
	if (o->rate > 0)
		fprintf(out, "open loop, %.10g requests/s", o->rate);
	else
		fprintf(out, "closed loop");
	fprintf(out, ", %s, keep-alive %s, lasted %.2f s\n\n", loop_driver_name(r->driver),
	        o->keepalive ? "on" : "off", seconds(r->lasted));
	fprintf(out, "%-10s %" PRIu64 "\n", o->rate > 0 ? "scheduled" : "begun", r->scheduled);
	fprintf(out, "sent       %" PRIu64, r->sent);
	if (r->late > 0)
		fprintf(out, ", %" PRIu64 " more than 1 ms late", r->late);
	fprintf(out, "\nanswered   %" PRIu64 ", %.2f requests/s, %" PRIu64 " bytes", r->answered, rps(r),
	        r->bytes);
	if (r->cut > 0)
		fprintf(out, "; %" PRIu64 " cut by the end", r->cut);
	fprintf(out, "\ngood       %" PRIu64 ", %.2f a second, within %.10g ms", r->good,
	        (double)r->good / seconds(o->duration), ms(o->good));
	fprintf(out, "\n\n%-10s %9s %9s %9s %9s %9s %9s\n", "ms", "mean", "p50", "p90", "p99", "p99.9",
	        "max");
	print_times("latency", &r->latency, out);
	print_times("service", &r->service, out);
	fputc('\n', out);
	print_errors(r, out);
	fprintf(out,
	        "clients    %u of %u answered; answers each: min %" PRIu64 ", p10 %" PRIu64
	        ", median %" PRIu64 ", p90 %" PRIu64 ", max %" PRIu64 "; %" PRIu64 " connections opened\n",
	        c->answered, c->count, c->min, c->p10, c->median, c->p90, c->max, r->opened);
}

/* JSON: names are constants and values numbers, so nothing needs escaping ---------------------------------------*/

static void json_times(const char *name, const struct histogram *h, FILE *out)
{
	if (h->count == 0) {
		fprintf(out, "\"%s\":null,", name);
		return;
	}
	fprintf(out,
	        "\"%s\":{\"mean\":%.4f,\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"p999\":%.4f,\"max\":%.4f},",
	        name, histogram_mean(h) / (double)CLOCK_NS_PER_MS, ms(histogram_percentile(h, 50)),
	        ms(histogram_percentile(h, 90)), ms(histogram_percentile(h, 99)),
	        ms(histogram_percentile(h, 99.9)), ms(h->max));
}

static void json_count(const char *name, uint64_t count, const char *after, FILE *out)
{
	fprintf(out, "\"%s\":%" PRIu64 "%s", name, count, after);
}

void load_print_json(const struct load_options *o, const struct load_result *r, FILE *out)
{
	const struct load_clients *c = &r->clients;

	fprintf(out, "{\"rate\":%.10g,\"connections\":%u,\"duration_s\":%.6g,\"lasted_s\":%.6f,", o->rate,
	        o->connections, seconds(o->duration), seconds(r->lasted));
	fprintf(out, "\"driver\":\"%s\",\"keepalive\":%s,", loop_driver_name(r->driver),
	        o->keepalive ? "true" : "false");
	json_count("scheduled", r->scheduled, ",", out);
	json_count("sent", r->sent, ",", out);
	json_count("answered", r->answered, ",", out);
	json_count("good", r->good, ",", out);
	json_count("good_by_end", r->good_by_end, ",", out);
	fprintf(out, "\"good_within_ms\":%.10g,", ms(o->good));
	json_count("cut", r->cut, ",", out);
	json_count("opened", r->opened, ",", out);
	fprintf(out, "\"rps\":%.3f,", rps(r));
	json_count("bytes", r->bytes, ",", out);
	json_times("latency_ms", &r->latency, out);
	json_times("service_ms", &r->service, out);
	json_count("late_sends", r->late, ",", out);
	fprintf(out, "\"errors\":{");
	json_count("connect", r->errors.connect, ",", out);
	json_count("read", r->errors.read, ",", out);
	json_count("write", r->errors.write, ",", out);
	json_count("timeout", r->errors.timeout, ",", out);
	json_count("status", r->errors.status, "},\"clients\":{", out);
	json_count("clients", c->count, ",", out);
	json_count("answered", c->answered, ",", out);
	json_count("min", c->min, ",", out);
	json_count("p10", c->p10, ",", out);
	json_count("median", c->median, ",", out);
	json_count("p90", c->p90, ",", out);
	json_count("max", c->max, "}}\n", out);
}
