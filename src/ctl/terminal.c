#include "ctl/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "base/assert.h"

/* xterm's control sequences, which all terminals of today know: alternate screen (DECSET 1049), cursor (DECTCEM, 25). */
#define ENTER "\033[?1049h\033[?25l\033[H\033[2J"
#define LEAVE "\033[?25h\033[?1049l"

static struct termios before;
static bool entered;
static int screen = -1; /* standard output once more, non-blocking: others who have that would be surprised */

static void signals_of(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
	sigaddset(set, SIGQUIT);
	sigaddset(set, SIGTSTP);
	sigaddset(set, SIGCONT);
	sigaddset(set, SIGWINCH);
}

int terminal_signals(void)
{
	sigset_t set;

	signals_of(&set);
	MUST(signal(SIGPIPE, SIG_IGN) != SIG_ERR && sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd >= 0 ? fd : -errno;
}

int terminal_signal(int fd)
{
	struct signalfd_siginfo info;

	return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

void terminal_die(int number)
{
	sigset_t set;

	terminal_leave();
	MUST(signal(number, SIG_DFL) != SIG_ERR && raise(number) == 0);
	sigemptyset(&set);
	sigaddset(&set, number);
	MUST(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0); /* it ends here */
}

void terminal_stop(void)
{
	terminal_leave();
	MUST(raise(SIGSTOP) == 0); /* and goes on here */
}

static int screen_fd(void)
{
	if (screen < 0)
		screen = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return screen >= 0 ? screen : STDOUT_FILENO;
}

/* What a terminal does not take now is lost: there is nothing better to do with it. */
static void put(const char *text)
{
	(void)!write(screen_fd(), text, strlen(text));
}

bool terminal_write(int signals, const char *text, size_t len)
{
	struct pollfd fds[2] = {{.fd = screen_fd(), .events = POLLOUT}, {.fd = signals, .events = POLLIN}};

	while (len > 0) {
		ssize_t n = write(fds[0].fd, text, len);

		if (n < 0 && errno == EAGAIN && poll(fds, 2, -1) > 0 && fds[1].revents)
			return true;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		text += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return true;
}

bool terminal_enter(void)
{
	struct termios mine;

	/* What it was before the first time: somebody may have stopped the program and changed things meanwhile. */
	if (!isatty(STDOUT_FILENO) || (!entered && tcgetattr(STDIN_FILENO, &before) != 0))
		return false;
	mine = before;
	mine.c_lflag &= ~(tcflag_t)(ICANON | ECHO); /* Ctrl-C and Ctrl-Z are signals still */
	mine.c_cc[VMIN] = 1;
	mine.c_cc[VTIME] = 0;
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &mine) != 0)
		return false;
	entered = true;
	put(ENTER);
	return true;
}

void terminal_leave(void)
{
	if (!entered)
		return;
	entered = false;
	put(LEAVE);
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &before); /* a terminal that is gone needs it no more */
}

void terminal_size(unsigned *width, unsigned *height)
{
	struct winsize size;

	*width = 80;
	*height = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
		*width = size.ws_col;
		*height = size.ws_row;
	}
}

/* False: nothing is there now. */
static bool next_byte(unsigned char *byte)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&in, 1, 0) > 0 && read(STDIN_FILENO, byte, 1) == 1;
}

int terminal_key(void)
{
	unsigned char byte, kind;
	ssize_t n = read(STDIN_FILENO, &byte, 1);

	if (n == 0)
		return KEY_END;
	if (n < 0)
		return errno == EINTR || errno == EAGAIN ? KEY_NONE : KEY_END;
	if (byte != '\033')
		return byte;
	/* An arrow is ESC [ C or ESC O C; of what else begins so the rest is read and dropped. */
	if (!next_byte(&byte))
		return '\033';
	if (byte != '[' && byte != 'O')
		return KEY_OTHER;
	do {
		if (!next_byte(&kind))
			return KEY_OTHER;
	} while (kind < 0x40);
	return kind == 'C' ? KEY_RIGHT : kind == 'D' ? KEY_LEFT : KEY_OTHER;
}
