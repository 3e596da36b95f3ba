/* Loaded before xrootd's libraries: xrootd has no option for the address to listen on, so every address of the internet
   families that a program binds becomes the loopback address. The port stays. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

typedef int bind_t(int, const struct sockaddr *, socklen_t);

int bind(int socket, const struct sockaddr *address, socklen_t length)
{
    bind_t *next = (bind_t *)dlsym(RTLD_NEXT, "bind");
    if (!next) {
        errno = ENOSYS;
        return -1;
    }
    if (address && address->sa_family == AF_INET && length >= sizeof(struct sockaddr_in)) {
        struct sockaddr_in local = *(const struct sockaddr_in *)address;
        local.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return next(socket, (struct sockaddr *)&local, sizeof local);
    }
    if (address && address->sa_family == AF_INET6 && length >= sizeof(struct sockaddr_in6)) {
        struct sockaddr_in6 local = *(const struct sockaddr_in6 *)address;
        unsigned char *bytes = local.sin6_addr.s6_addr;
        for (int at = 0; at < 10; at++) bytes[at] = 0; /* ::ffff:127.0.0.1, which takes connections to 127.0.0.1 */
        bytes[10] = bytes[11] = 0xff;
        bytes[12] = 127;
        bytes[13] = bytes[14] = 0;
        bytes[15] = 1;
        return next(socket, (struct sockaddr *)&local, sizeof local);
    }
    return next(socket, address, length);
}
