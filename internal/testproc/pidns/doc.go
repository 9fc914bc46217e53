// Package pidns runs a program as PID 1 of a new pid namespace, for tests of what only PID 1 sees: orphans, signals
// without a default, kill(-1).
//
// Guarantees:
//
//  1. The program has process ID 1, is the image that the caller named with the arguments and the environment that
//     the caller gave, and sees a /proc of its own namespace.
//  2. When the test process dies, by whatever signal, PID 1 is killed, and the kernel kills all that it left behind.
//  3. Nothing that the program mounts is seen outside.
//
// The first image in the namespace is the test binary itself, which mounts /proc and then executes the program. So a
// test binary that uses this package begins with
//
//	func TestMain(m *testing.M) {
//		pidns.Main()
//		os.Exit(m.Run())
//	}
//
// A program that lies in a directory of mode 0700, as those of testing.TB.TempDir are, cannot be executed by Nobody;
// the test binary itself always can be, by the name /proc/self/exe.
package pidns
