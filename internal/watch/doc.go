// Package watch calls a function when the content of a path has changed.
//
// A file, a directory with all below it, what is reached by a chain of links, and a ConfigMap's directory (whose links lead
// through ..data) are seen alike: names, relative to the path, and content decide, and neither times nor modes nor inodes do. A
// path that is missing is no change; that it is there for the first time, or again with other content, is one.
//
// A Watcher has one inotify instance, whose events only say when to look; a look (Scanner) compares. Events put a look off until
// none has come for the debounce, at most ten times as long. Where inotify is refused, or the file system does not report what
// others change in it (NFS, 9p, FUSE and virtiofs, SMB and such), the path is looked at every 10 s, which one line says, and a
// new content counts when two looks, a debounce apart, have found the same. It stays so until the watch is removed. A path that
// cannot be read, or is too large, is told once and also looked at every 10 s. Otherwise an idle Watcher does not wake up.
//
// A look is bounded in files and bytes; beyond that it is an error. Only regular files are opened. It may block as long as the
// file system does, and so runs on its own goroutine, one for each watch: neither Set nor Close waits for more than a second,
// and one that hangs is left behind. Four looks run at a time; one that has taken 10 s is told and not counted.
//
// What inotify does not report is not seen: a mount over a path, and a write through mmap.
//
// github.com/fsnotify/fsnotify (1.10) is not enough: it keeps one path for each inode, so that of two paths to one directory (a
// volume mounted twice) the second is not known, and removing the first ends both.
//
// Callers start Run before, or beside, Set, which waits for it. Changed may call Set.
package watch
