#include "lb/tell.h"

#include <stdarg.h>

#include "obs/events.h"

static void print(FILE *out, enum diag_level level, const char *line)
{
	if (out)
		fprintf(out, "%s%s\n", level == DIAG_WARNING ? "warning: " : "", line);
}

void tell(FILE *out, enum diag_level level, const char *format, ...)
{
	char line[DIAG_TEXT_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	event(level, "%s", line);
	print(out, level, line);
}

void tell_detail(FILE *out, enum diag_level level, const char *format, ...)
{
	char line[DIAG_TEXT_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	diag(level, "%s", line);
	print(out, level, line);
}
