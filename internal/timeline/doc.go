// Package timeline draws the life of a bundle from its events, as a bar for each daemon: in text, as SVG, and for Perfetto.
//
// Guarantees:
//
//  1. It is pure: the same events, daemons and times give the same picture.
//  2. Unknown times are not drawn: before the first event of a daemon that was kept there is no bar, unless the daemon was waiting.
//  3. However many events there are, a row has no more bars than pixels, or characters.
//  4. Names and reasons, which come from elsewhere, are always text.
package timeline
