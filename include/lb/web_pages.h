/* The pages of `admin.bind`. */
#ifndef TPLB_LB_WEB_PAGES_H
#define TPLB_LB_WEB_PAGES_H

#include "ctl/web.h"

/* Their functions are called with a struct control, in the web's thread. */
extern const struct web_page lb_web_pages[];

#endif
