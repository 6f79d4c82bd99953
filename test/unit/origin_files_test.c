/* No name leads out of the root, with openat2 (where the kernel has it) and without. */
#include "origin/files.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/origin_files_test.XXXXXX";
static int top_fd = -1;
static int root = -1;

static void write_file(const char *name, const char *text)
{
	int fd = openat(top_fd, name, O_WRONLY | O_CREAT, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* top/secret is outside of top/root. */
static void make_tree(void)
{
	char absolute[PATH_MAX];

	memcpy(top + sizeof(top) - 7, "XXXXXX", 6);
	ck_assert_ptr_nonnull(mkdtemp(top));
	top_fd = open(top, O_PATH | O_DIRECTORY);
	ck_assert_int_eq(mkdirat(top_fd, "root", 0700), 0);
	ck_assert_int_eq(mkdirat(top_fd, "root/sub", 0700), 0);
	ck_assert_int_eq(mkdirat(top_fd, "outside", 0700), 0);
	write_file("secret", "secret");
	write_file("outside/secret", "secret");
	write_file("root/plain", "plain");
	write_file("root/sub/deep", "deep");
	snprintf(absolute, sizeof(absolute), "%s/secret", top);
	ck_assert_int_eq(symlinkat(absolute, top_fd, "root/absolute"), 0);
	snprintf(absolute, sizeof(absolute), "%s/root/plain", top);
	ck_assert_int_eq(symlinkat(absolute, top_fd, "root/absolute_inside"), 0);
	ck_assert_int_eq(symlinkat("../secret", top_fd, "root/up"), 0);
	ck_assert_int_eq(symlinkat("../outside", top_fd, "root/updir"), 0);
	ck_assert_int_eq(symlinkat("sub/deep", top_fd, "root/inside"), 0);
	ck_assert_int_eq(symlinkat("../plain", top_fd, "root/sub/back"), 0);
	ck_assert_int_eq(symlinkat("loop", top_fd, "root/loop"), 0);
	ck_assert_int_eq(symlinkat("/proc/self/root", top_fd, "root/magic"), 0);
	ck_assert_int_eq(mkfifoat(top_fd, "root/fifo", 0600), 0);
	root = openat(top_fd, "root", O_PATH | O_DIRECTORY);
	ck_assert_int_ge(root, 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_tree(void)
{
	close(root);
	close(top_fd);
	nftw(top, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const struct {
	const char *name;
	const char *text; /* NULL: cannot be opened */
	bool link;        /* a link that stays beneath: followed with openat2 only */
} names[] = {
        {"plain", "plain", false},
        {"sub/deep", "deep", false},
        {"inside", "deep", true},
        {"sub/back", "plain", true},
        {"absolute", NULL, false},
        {"absolute_inside", NULL, false},
        {"up", NULL, false},
        {"updir/secret", NULL, false},
        {"magic/etc/passwd", NULL, false},
        {"loop", NULL, false},
        {"../secret", NULL, false},
        {"sub/../../secret", NULL, false},
        {"/etc/passwd", NULL, false},
        {"", NULL, false},
        {"plain/", NULL, false},
        {"plain/x", NULL, false},
        {"nothing", NULL, false},
};

static void check_name(int i, bool openat2)
{
	char text[16] = "";
	int fd = files_open(root, names[i].name, openat2);

	if (!names[i].text || (names[i].link && !openat2)) {
		ck_assert_msg(fd < 0, "%s was opened", names[i].name);
		return;
	}
	ck_assert_msg(fd >= 0, "%s: %d", names[i].name, fd);
	ck_assert_int_eq(read(fd, text, sizeof(text) - 1), (ssize_t)strlen(names[i].text));
	ck_assert_str_eq(text, names[i].text);
	close(fd);
}

START_TEST(openat2_stays_beneath)
{
	if (files_have_openat2(root))
		check_name(_i, true);
}
END_TEST

START_TEST(walking_stays_beneath)
{
	check_name(_i, false);
}
END_TEST

/* The test's own descriptors are few, so the lowest free one tells of a leak. */
START_TEST(walking_leaks_nothing)
{
	int before = dup(0);

	close(before);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int fd = files_open(root, names[i].name, false);

		if (fd >= 0)
			close(fd);
	}
	int after = dup(0);
	close(after);
	ck_assert_int_eq(before, after);
}
END_TEST

START_TEST(a_fifo_does_not_hold_us)
{
	int fd = files_open(root, "fifo", false);

	ck_assert_int_ge(fd, 0);
	close(fd);
}
END_TEST

START_TEST(openat2_is_known_to_be_missing)
{
	ck_assert(!files_have_openat2(-1));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("origin/files");
	TCase *t = tcase_create("files");
	SRunner *sr = srunner_create(s);
	int count = (int)(sizeof(names) / sizeof(names[0]));

	tcase_add_checked_fixture(t, make_tree, remove_tree);
	tcase_add_loop_test(t, openat2_stays_beneath, 0, count);
	tcase_add_loop_test(t, walking_stays_beneath, 0, count);
	tcase_add_test(t, walking_leaks_nothing);
	tcase_add_test(t, a_fifo_does_not_hold_us);
	tcase_add_test(t, openat2_is_known_to_be_missing);
	suite_add_tcase(s, t);
	srunner_run_all(sr, CK_ENV);
	int failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
