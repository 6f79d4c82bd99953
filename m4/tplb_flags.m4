# TPLB_TRY_FLAGS(VARIABLE, FLAGS, [PROGRAM])
# Appends FLAGS to VARIABLE when the compiler and the linker take them without a word.
# Sets tplb_flag_taken to yes or no.
AC_DEFUN([TPLB_TRY_FLAGS], [
    AC_MSG_CHECKING([whether $CC takes $2])
    tplb_flags_saved=$CFLAGS
    CFLAGS="$CFLAGS -Werror $2"
    AC_LINK_IFELSE([m4_default([$3], [AC_LANG_PROGRAM([[#include <stdio.h>]], [[puts("");]])])],
        [tplb_flag_taken=yes], [tplb_flag_taken=no])
    CFLAGS=$tplb_flags_saved
    AS_IF([test "$tplb_flag_taken" = yes], [AS_VAR_APPEND([$1], [" $2"])])
    AC_MSG_RESULT([$tplb_flag_taken])
])
