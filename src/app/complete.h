/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/*
 * What a shell offers while a call of mast is typed. The scripts in packaging/completion hand over the words and print what
 * comes back, so that they are the same for every version; what can be typed stands in the commands' tables.
 */
struct api_call;

/*
 * words: what stands behind "mast" up to the cursor, the last one being typed (maybe empty). Prints a line for each offer,
 * "WORD" or "WORD<tab>WHAT IT IS"; the line "<tab>file" or "<tab>dir" stands for the shell's own files or folders. Streams are asked from the
 * running server (--url among the words, $MAST_URL), which must answer soon.
 */
void complete(int n, char **words);
