package watch

import (
	"bytes"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// changes is what may change the content of a place: IN_ATTRIB makes a file readable, or tells of a link count. What has not
// changed it costs a look. The path of a place has no links; if that changes in between, the next look finds it.
const changes = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MODIFY | unix.IN_MOVE | unix.IN_ATTRIB |
	unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_DONT_FOLLOW

// An event is one of inotify's. Its name is empty if it is about the place itself.
type event struct {
	wd   int32
	mask uint32
	name string
}

// An inotify is one instance. The kernel gives each inode one number, whichever paths lead to it, and gives none again.
type inotify struct {
	file *os.File
	done chan struct{} // closed when read has returned
}

func openInotify() (*inotify, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return &inotify{os.NewFile(uintptr(fd), "inotify"), make(chan struct{})}, nil
}

func (n *inotify) add(path string) (wd int32, err error) {
	err = n.control(func(fd int) error {
		i, err := unix.InotifyAddWatch(fd, path, changes)
		wd = int32(i)
		return err
	})
	return wd, err
}

// remove removes a number, which the kernel may have dropped already.
func (n *inotify) remove(wd int32) {
	_ = n.control(func(fd int) error {
		_, err := unix.InotifyRmWatch(fd, uint32(wd))
		return err
	})
}

// control holds the descriptor during f: once it is closed, it may be that of another file.
func (n *inotify) control(f func(fd int) error) error {
	c, err := n.file.SyscallConn()
	if err != nil {
		return err
	}
	var called error
	if err := c.Control(func(fd uintptr) { called = f(int(fd)) }); err != nil {
		return err
	}
	return called
}

// read hands events over until the file, or stop, is closed.
func (n *inotify) read(events chan<- []event, stop <-chan struct{}) {
	defer close(n.done)
	buf := make([]byte, 16<<10)
	for {
		size, err := n.file.Read(buf)
		if err != nil {
			return
		}
		select {
		case events <- parse(buf[:size]):
		case <-stop:
			return
		}
	}
}

// parse reads what inotify(7) describes: wd, mask, cookie, length of the name, the name with zeros after it.
func parse(b []byte) (events []event) {
	for len(b) >= unix.SizeofInotifyEvent {
		end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
		name, _, _ := bytes.Cut(b[unix.SizeofInotifyEvent:end], []byte{0})
		events = append(events, event{int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:]), string(name)})
		b = b[end:]
	}
	return events
}

// silent returns the name of the file system of path if it does not report what others than this kernel change there.
func silent(path string) string {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return "" // the next look says what is wrong
	}
	return silentType(uint32(st.Type))
}

func silentType(magic uint32) string {
	switch magic {
	case unix.NFS_SUPER_MAGIC:
		return "NFS"
	case unix.V9FS_MAGIC: // gVisor's root too
		return "9p"
	case unix.FUSE_SUPER_MAGIC: // virtiofs too
		return "FUSE"
	case unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC:
		return "SMB"
	case unix.CEPH_SUPER_MAGIC:
		return "Ceph"
	case unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC:
		return "AFS"
	case unix.CODA_SUPER_MAGIC:
		return "Coda"
	case unix.OCFS2_SUPER_MAGIC:
		return "OCFS2"
	case 0x01161970:
		return "GFS2"
	case 0x0bd00bd0:
		return "Lustre"
	case 0x786f4256:
		return "vboxsf"
	}
	return ""
}
