/* SPDX-License-Identifier: GPL-2.0 */
/* JSON on stdout, for programs that print one document. */
#ifndef JSON_H
#define JSON_H

#include <stdio.h>

/* A string, or null */
static inline void json_string(const char *s)
{
	if (!s) {
		fputs("null", stdout);
		return;
	}
	putchar('"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < ' ')
			printf("\\u%04x", (unsigned char)*s);
		else
			putchar(*s);
	}
	putchar('"');
}

/* What comes between two members of a list or an object: not before the first */
static inline void json_comma(int not_first)
{
	if (not_first)
		fputs(", ", stdout);
}

#endif /* JSON_H */
