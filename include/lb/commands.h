/* The commands of the admin socket: what `tplbctl` shows and sets. */
#ifndef TPLB_LB_COMMANDS_H
#define TPLB_LB_COMMANDS_H

#include "ctl/answer.h"

/* Their functions are called with a struct control. Values are "name value" lines, times in the unit that their name ends with. */
extern const struct answer_command lb_commands[];

#endif
