// Package watch tells what the content of a path is, so that two looks at it say whether it has changed.
//
// A file, a directory, what is reached by a chain of links, and a ConfigMap's directory (whose links lead through ..data) are
// seen alike: names, relative to the path, and content decide, and neither times nor modes nor inodes do.
//
// A look is bounded in files and bytes; beyond that it is an error. Only regular files are opened. It may block as long as the
// file system does: callers that must not wait call it on a goroutine of its own.
package watch
