package reap

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
)

// The smallest processes that there are: a shell takes ten times as long to start, and 30,000 of them are needed.

// tinyExit ends with the number of its arguments as exit code.
var tinyExit = tiny(
	0x8b, 0x3c, 0x24, // mov  edi, [rsp]    argc
	0xff, 0xcf, // dec  edi
	0xb8, 0x3c, 0, 0, 0, // mov  eax, 60       exit
	0x0f, 0x05, // syscall
)

// tinyOrphans makes as many orphans as it has arguments, one after the other.
var tinyOrphans = tiny(
	0x8b, 0x1c, 0x24, // mov  ebx, [rsp]    argc
	0xff, 0xcb, // again: dec  ebx
	0x74, 0x24, // jz   out
	0xb8, 0x39, 0, 0, 0, // mov  eax, 57       fork
	0x0f, 0x05, // syscall
	0x85, 0xc0, // test eax, eax
	0x74, 0x12, // jz   child
	0x89, 0xc7, // mov  edi, eax
	0x31, 0xf6, // xor  esi, esi
	0x31, 0xd2, // xor  edx, edx
	0x45, 0x31, 0xd2, // xor  r10d, r10d
	0xb8, 0x3d, 0, 0, 0, // mov  eax, 61       wait4
	0x0f, 0x05, // syscall
	0xeb, 0xdf, // jmp  again
	0xb8, 0x39, 0, 0, 0, // child: mov eax, 57  fork, and both end
	0x0f, 0x05, // syscall
	0x31, 0xff, // out: xor  edi, edi
	0xb8, 0x3c, 0, 0, 0, // mov  eax, 60       exit
	0x0f, 0x05, // syscall
)

// tiny is a static executable of nothing but code.
func tiny(code ...byte) []byte {
	const base = 0x400000
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Ehsize: uint16(binary.Size(elf.Header64{})), Phentsize: uint16(binary.Size(elf.Prog64{})), Phnum: 1,
	}
	header.Phoff = uint64(header.Ehsize)
	start := uint64(header.Ehsize + header.Phentsize)
	header.Entry = base + start
	size := start + uint64(len(code))
	prog := elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Vaddr: base, Filesz: size, Memsz: size, Align: 0x1000,
	}
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, header)
	_ = binary.Write(&b, binary.LittleEndian, prog)
	b.Write(code)
	return b.Bytes()
}
