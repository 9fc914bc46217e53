//go:build !linux

package kernel

func ask() Features { return Features{} }
