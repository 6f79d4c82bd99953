#include "origin/types.h"

static const struct {
	struct str extension;
	struct str type;
} types[] = {
        {STR("html"), STR("text/html")},
        {STR("htm"), STR("text/html")},
        {STR("css"), STR("text/css")},
        {STR("js"), STR("text/javascript")},
        {STR("mjs"), STR("text/javascript")},
        {STR("json"), STR("application/json")},
        {STR("map"), STR("application/json")},
        {STR("txt"), STR("text/plain; charset=utf-8")},
        {STR("md"), STR("text/markdown; charset=utf-8")},
        {STR("csv"), STR("text/csv; charset=utf-8")},
        {STR("xml"), STR("application/xml")},
        {STR("xhtml"), STR("application/xhtml+xml")},
        {STR("atom"), STR("application/atom+xml")},
        {STR("rss"), STR("application/rss+xml")},
        {STR("svg"), STR("image/svg+xml")},
        {STR("png"), STR("image/png")},
        {STR("jpg"), STR("image/jpeg")},
        {STR("jpeg"), STR("image/jpeg")},
        {STR("gif"), STR("image/gif")},
        {STR("webp"), STR("image/webp")},
        {STR("avif"), STR("image/avif")},
        {STR("bmp"), STR("image/bmp")},
        {STR("ico"), STR("image/x-icon")},
        {STR("woff"), STR("font/woff")},
        {STR("woff2"), STR("font/woff2")},
        {STR("ttf"), STR("font/ttf")},
        {STR("otf"), STR("font/otf")},
        {STR("mp3"), STR("audio/mpeg")},
        {STR("ogg"), STR("audio/ogg")},
        {STR("wav"), STR("audio/wav")},
        {STR("flac"), STR("audio/flac")},
        {STR("mp4"), STR("video/mp4")},
        {STR("webm"), STR("video/webm")},
        {STR("mkv"), STR("video/x-matroska")},
        {STR("pdf"), STR("application/pdf")},
        {STR("zip"), STR("application/zip")},
        {STR("gz"), STR("application/gzip")},
        {STR("tar"), STR("application/x-tar")},
        {STR("wasm"), STR("application/wasm")},
};

/* What is behind the last dot of the last part; a name that only begins with a dot has none. */
static struct str extension_of(struct str name)
{
	for (size_t i = name.len; i > 1 && name.at[i - 1] != '/'; i--)
		if (name.at[i - 1] == '.' && name.at[i - 2] != '/')
			return (struct str){name.at + i, name.len - i};
	return (struct str){"", 0};
}

struct str types_of(struct str name)
{
	struct str extension = extension_of(name);

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (str_eq_nocase(extension, types[i].extension))
			return types[i].type;
	return STR("application/octet-stream");
}
