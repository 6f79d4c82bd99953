/* A root folder that a test makes up, with files as /proc and /sys have them. */
#ifndef TPLB_TEST_MADE_UP_ROOT_H
#define TPLB_TEST_MADE_UP_ROOT_H

#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Writes root/path, and makes the folders on the way. */
static void write_file(const char *root, const char *path, const char *text)
{
	char name[512];

	snprintf(name, sizeof(name), "%s/%s", root, path);
	for (char *p = name + strlen(root) + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		(void)mkdir(name, 0700);
		*p = '/';
	}
	FILE *f = fopen(name, "w");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_ge(fputs(text, f), 0);
	ck_assert_int_eq(fclose(f), 0);
}

#endif
