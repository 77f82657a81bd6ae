/*
 * key_file_test.c
 *	  What the making of a key file leaves alone.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/crypto_sodium.h"
#include "net/key_file.h"
#include "tap.h"

int
main(void)
{
	char		dir[] = "/tmp/vecdb_key_file_XXXXXX";
	char		path[64];
	char		beside[80];
	char		kept[16] = "";
	char		error[256] = "";
	NodeKeys	keys;
	NodeKeys	again;
	bool		created;
	FILE	   *file;
	DIR		   *entries;
	int			n = 0;

	if (!crypto_sodium_init() || mkdtemp(dir) == NULL)
		return 2;
	snprintf(path, sizeof path, "%s/node.key", dir);
	snprintf(beside, sizeof beside, "%s.new", path);
	file = fopen(beside, "w");
	if (file == NULL || fputs("another key", file) < 0 || fclose(file) != 0)
		return 2;
	ok(key_file_load(path, &keys, &created, error, sizeof error) && created, "a key file is made");
	ok(key_file_load(path, &again, &created, error, sizeof error) && !created && memcmp(&keys, &again, sizeof keys) == 0,
	   "and read again");
	file = fopen(beside, "r");
	ok(file != NULL && fgets(kept, sizeof kept, file) != NULL && strcmp(kept, "another key") == 0,
	   "what somebody keeps beside it, under a name like it, stays");
	if (file != NULL)
		fclose(file);
	entries = opendir(dir);
	while (entries != NULL && readdir(entries) != NULL)
		n++;
	ok(n == 2 + 2, "and nothing else is left there");
	if (entries != NULL)
		closedir(entries);
	unlink(path);
	unlink(beside);
	rmdir(dir);
	return tap_done();
}
