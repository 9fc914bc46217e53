//go:build linux && vm

package main

import "testing"

func TestNothing(t *testing.T) {}
