#include "base/sparse.h"

#include <stdint.h>
#include <sys/mman.h>

#include "base/assert.h"

void *sparse_new(size_t count, size_t size)
{
	MUST(count > 0 && size > 0);
	if (count > SIZE_MAX / size)
		return NULL;
	void *at = mmap(NULL, count * size, PROT_READ | PROT_WRITE,
	        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	return at;
}

void sparse_free(void *at, size_t count, size_t size)
{
	if (at)
		MUST(munmap(at, count * size) == 0);
}
