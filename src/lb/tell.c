#include "lb/tell.h"

#include <stdarg.h>

enum { LINE_BYTES = 1024 /* as diag's, which is longer by its prefix */ };

void tell(FILE *out, enum diag_level level, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	diag(level, "%s", line);
	if (out)
		fprintf(out, "%s%s\n", level == DIAG_WARNING ? "warning: " : "", line);
}
