// Package watch calls a function when the content of a path has changed.
//
// A file, a directory with everything below it, the target of a chain of links, and a ConfigMap's directory (whose links lead through
// ..data) are treated alike: names, relative to the path, and content decide; times, modes and inodes do not. A missing path is no
// change. It is a change if it appears for the first time, or again with other content.
//
// A Watcher has one inotify instance, whose events only say when to look; a look (Scanner) compares. Events delay a look until none has
// come for the debounce time, at most for ten times that. If inotify is refused, or the file system does not report changes made by others
// (NFS, 9p, FUSE and virtiofs, SMB and similar), the path is polled every 10 s, which one line says, and new content counts when two looks,
// a debounce apart, have found the same. It is polled until the watch is removed. A path that cannot be read, or is too large, is
// reported once and also polled every 10 s. Otherwise an idle Watcher does not wake up.
//
// A look is limited in files and bytes; beyond that it is an error. Only regular files are opened. It may block as long as the file
// system does, so each watch has a goroutine for it: neither Set nor Close waits for more than a second, and a look that hangs is left
// behind. At most four looks run at a time; one that has taken 10 s is reported and no longer counted.
//
// What inotify does not report is not noticed: a mount over a path, and a write through mmap.
//
// github.com/fsnotify/fsnotify (1.10) is not enough: it keeps one path for each inode, so of two paths to one directory (a volume that
// is mounted twice) the second is not known, and removing the first ends both.
//
// Callers start Run before, or at the same time as, Set, which waits for it. Changed may call Set.
package watch
