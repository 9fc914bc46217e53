// Package timeline makes pictures of the life of a bundle from its events: a bar for each daemon, in text, as SVG, and for Perfetto.
//
// Guarantees:
//
//  1. It is pure: the same events, daemons and times give the same picture.
//  2. What is not known is not drawn: before the first event that is kept of a daemon there is no bar, unless it was waiting.
//  3. However many events there are, a picture has no more bars in a row than it has pixels, or characters.
//  4. Names and reasons, which others have chosen, are text in it and nothing else.
package timeline
