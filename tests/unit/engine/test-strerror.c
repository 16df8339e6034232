/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ww_strerror() has a sentence for each documented error, and words for every other number.
 * tests/system/docs/test-header.sh checks that no error of the headers is left out. */
#include <errno.h>
#include <limits.h>

#include "util.h"

#define UNKNOWN "unknown error"

START_TEST(documented_errors_have_words_of_their_own)
{
    static const int errors[] = { EACCES, EAGAIN, EBADF,      EBUSY,  ECHILD, EDEADLK, EEXIST,
                                  EFAULT, EINVAL, EIO,        EMFILE, ENFILE, ENOENT,  ENOMEM,
                                  ENOSYS, ENOTTY, EOPNOTSUPP, EPERM,  ESRCH };
    size_t nr = sizeof(errors) / sizeof(errors[0]);

    for (size_t i = 0; i < nr; i++) {
        const char *words = ww_strerror(-errors[i]);

        ck_assert_str_ne(words, UNKNOWN);
        ck_assert_str_ne(words, strerror(errors[i]));
        ck_assert_msg(words[0] && words[strlen(words) - 1] != '.', "'%s' ends in a full stop", words);
        ck_assert_ptr_eq(ww_strerror(-errors[i]), words);
        for (size_t j = 0; j < i; j++) {
            ck_assert_str_ne(ww_strerror(-errors[j]), words);
        }
    }
}
END_TEST

START_TEST(an_answer_that_is_no_error_says_so)
{
    static const int answers[] = { 0, 1, EINVAL, INT_MAX };

    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        ck_assert_str_eq(ww_strerror(answers[i]), "no error");
    }
}
END_TEST

START_TEST(other_errors_have_the_words_of_the_C_library)
{
    const char *words = ww_strerror(-EDOM);

    ck_assert_msg(!strcmp(words, strerror(EDOM)) || !strcmp(words, UNKNOWN), "%s", words);
    ck_assert_str_eq(ww_strerror(-100000), UNKNOWN);
    ck_assert_str_eq(ww_strerror(INT_MIN), UNKNOWN);
    ck_assert_str_eq(ww_strerror(INT_MIN + 1), UNKNOWN);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("strerror");
    TCase *tcase = tcase_create("words");

    suite_add_tcase(suite, tcase);
    tcase_add_test(tcase, documented_errors_have_words_of_their_own);
    tcase_add_test(tcase, an_answer_that_is_no_error_says_so);
    tcase_add_test(tcase, other_errors_have_the_words_of_the_C_library);
    return run_suite(suite) ? EXIT_FAILURE : EXIT_SUCCESS;
}
