// Package bounded reads whole files up to a size that such a file can reasonably have: a path that a supervisor is told to read may
// be an endless device, or a sparse file of a terabyte.
package bounded

import (
	"errors"
	"io"
	"os"
)

// Max is how much is read, in bytes.
const Max = 16 << 20

// ErrTooLarge says that there is more.
var ErrTooLarge = errors.New("larger than 16 MiB")

// ReadFile is os.ReadFile for a file of at most Max bytes; of a larger one the error is ErrTooLarge.
func ReadFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Size() > Max {
		return nil, ErrTooLarge
	}
	return ReadAll(f)
}

// ReadAll is io.ReadAll for at most Max bytes; where there are more the error is ErrTooLarge.
func ReadAll(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(r, Max+1)) // the size that stat tells is not to be believed: think of /proc, pipes, devices
	if err == nil && len(b) > Max {
		return nil, ErrTooLarge
	}
	return b, err
}
