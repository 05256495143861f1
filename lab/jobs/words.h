/* SPDX-License-Identifier: GPL-2.0 */
/* What a program prints in columns, to be compared with words */
#ifndef WORDS_H
#define WORDS_H

#include <ctype.h>

/* Leaves one blank between words, and none behind the last. */
static inline void squeeze(char *line)
{
	char *to = line;

	for (; *line; line++)
		if (!isspace(*line) || (line[1] && !isspace(line[1])))
			*to++ = isspace(*line) ? ' ' : *line;
	*to = '\0';
}

#endif /* WORDS_H */
