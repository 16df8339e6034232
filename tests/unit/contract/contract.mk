# SPDX-License-Identifier: LGPL-2.1-or-later
# ---- the contract of include/writewatch.h, over every backend that works here ----
if HAVE_CHECK
UNIT_TESTS += %D%/test-contract
%C%_test_contract_SOURCES = %D%/test-contract.c $(ON_EACH_BACKEND) $(MODEL) \
	%D%/contract-answers.c \
	%D%/contract-arguments.c \
	%D%/contract-choice.c \
	%D%/contract-handover.c \
	%D%/contract-lockless.c \
	%D%/contract-mappings.c \
	%D%/contract-next.c \
	%D%/contract-odd.c \
	%D%/contract-populated.c \
	%D%/contract-process.c \
	%D%/contract-random.c \
	%D%/contract-required.c \
	%D%/contract-shared.c \
	%D%/contract-sizes.c
%C%_test_contract_CPPFLAGS = $(UNIT_CPPFLAGS)
%C%_test_contract_LDADD = $(UNIT_LDADD)
endif
