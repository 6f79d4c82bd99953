/*
 * Runs a fuzz target's function on files, as libFuzzer would, but built by any compiler: on those named, else on its part of the corpus,
 * $srcdir/test/fuzz/corpus/NAME for the program NAME_fuzz.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "fuzz.h"

static void run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	char *bytes = NULL;
	size_t len = 0, room = 0, n;

	if (!file) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	do {
		room = len + 65536;
		bytes = realloc(bytes, room);
		MUST(bytes != NULL);
		n = fread(bytes + len, 1, room - len, file);
		len += n;
	} while (n > 0);
	if (ferror(file)) { /* a folder, for one */
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(1);
	}
	fclose(file);
	char *exact = copy_of((struct str){bytes, len});
	free(bytes);
	printf("%s: %zu bytes\n", path, len); /* first: the last line tells who failed */
	fflush(stdout);
	(void)LLVMFuzzerTestOneInput((const uint8_t *)exact, len);
	free(exact);
}

static int is_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int run_folder(const char *folder)
{
	struct dirent **entries;
	int count = scandir(folder, &entries, is_file, alphasort);

	for (int i = 0; i < count; i++) {
		char *path;

		MUST(asprintf(&path, "%s/%s", folder, entries[i]->d_name) > 0);
		run_file(path);
		free(path);
		free(entries[i]);
	}
	if (count <= 0) {
		fprintf(stderr, "%s: no corpus there\n", folder);
		return 1;
	}
	free(entries);
	return 0;
}

int main(int argc, char **argv)
{
	const char *srcdir = getenv("srcdir"), *name = strrchr(argv[0], '/');
	char *folder;

	for (int i = 1; i < argc; i++)
		run_file(argv[i]);
	if (argc > 1)
		return 0;
	name = name ? name + 1 : argv[0];
	MUST(asprintf(&folder, "%s/test/fuzz/corpus/%.*s", srcdir ? srcdir : ".", (int)strcspn(name, "_"),
	             name) > 0);
	int status = run_folder(folder);
	free(folder);
	return status;
}
