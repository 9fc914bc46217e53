//go:build linux

package main

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// kernel returns the file of Debian's newest kernel of a series, such as 6.1. It is downloaded into dir, unless there is one.
func kernel(dir, series string) (string, error) {
	have, err := filepath.Glob(filepath.Join(dir, "vmlinuz-"+series+".*"))
	if err != nil || len(have) > 0 {
		return newest(have), err
	}
	out, err := exec.Command("apt-cache", "pkgnames", "linux-image-"+series+".").Output()
	if err != nil {
		return "", fmt.Errorf("cannot list packages: %w", err)
	}
	cloud := regexp.MustCompile(`^linux-image-[0-9.]+[-+][^-]+-cloud-amd64$`)
	packages := slices.DeleteFunc(strings.Fields(string(out)), func(p string) bool { return !cloud.MatchString(p) })
	if len(packages) == 0 {
		return "", fmt.Errorf("there is no package linux-image-%s.*-cloud-amd64 (Debian 12, after apt-get update)", series)
	}
	return download(dir, newest(packages))
}

// newest is the name with the largest numbers.
func newest(names []string) string {
	if len(names) == 0 {
		return ""
	}
	numbers := func(s string) (all []int) {
		for _, digits := range regexp.MustCompile(`\d+`).FindAllString(filepath.Base(s), -1) {
			n, _ := strconv.Atoi(digits)
			all = append(all, n)
		}
		return all
	}
	return slices.MaxFunc(names, func(a, b string) int {
		return cmp.Or(slices.Compare(numbers(a), numbers(b)), strings.Compare(a, b))
	})
}

// download takes the kernel out of a package: to install it would touch this machine's boot loader.
func download(dir, pkg string) (string, error) {
	tmp, err := os.MkdirTemp(dir, "download-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	get := exec.Command("apt-get", "-q", "download", pkg)
	get.Dir = tmp
	if out, err := get.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot download %s: %w: %s", pkg, err, out)
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("cannot download %s: got %d files, %w", pkg, len(debs), err)
	}
	unpack := exec.Command("dpkg-deb", "--fsys-tarfile", debs[0])
	out, err := unpack.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := unpack.Start(); err != nil {
		return "", err
	}
	file, err := extract(out, filepath.Join(tmp, "vmlinuz"))
	_, rest := io.Copy(io.Discard, out)
	if err := errors.Join(err, rest, unpack.Wait()); err != nil {
		return "", fmt.Errorf("cannot unpack %s: %w", pkg, err)
	}
	final := filepath.Join(dir, filepath.Base(file))
	return final, os.Rename(filepath.Join(tmp, "vmlinuz"), final)
}

// extract writes the file boot/vmlinuz-* of a tar archive, and returns its name there.
func extract(r io.Reader, to string) (name string, err error) {
	for archive := tar.NewReader(r); ; {
		head, err := archive.Next()
		if err != nil {
			return "", fmt.Errorf("there is no kernel in it: %w", err)
		}
		if ok, _ := filepath.Match("boot/vmlinuz-*", filepath.Clean(head.Name)); !ok {
			continue
		}
		f, err := os.Create(to)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(f, archive)
		return head.Name, errors.Join(err, f.Close())
	}
}
