/*
 * own_address.h
 *	  An address of this machine for one test alone: what still looks for a port
 *	  that another test has given back does not knock at ours.
 */
#ifndef TEST_OWN_ADDRESS_H
#define TEST_OWN_ADDRESS_H

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "core/net/net_address.h"

/* 127.64.0.0 and on, by the process that asks first; its children have the same. */
static inline NetAddress
own_address(uint16_t port)
{
	static uint32_t ip;

	if (ip == 0)
		ip = 0x7F400000 | ((uint32_t) getpid() & 0x3FFFFF);
	return net_address_v4(ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255, port);
}

static inline const char *
own_host(void)
{
	static char text[16];
	NetAddress	own = own_address(0);

	snprintf(text, sizeof text, "%u.%u.%u.%u", own.ip[12], own.ip[13], own.ip[14], own.ip[15]);
	return text;
}

#endif							/* TEST_OWN_ADDRESS_H */
