package archive

// GOARCH returns the Go name of an architecture that Juju and charmcraft call
// by Debian's name, such as ppc64le for ppc64el; ok is false for one that
// Juju does not know.
func GOARCH(arch string) (name string, ok bool) {
	switch arch {
	case "amd64", "arm64", "riscv64", "s390x":
		return arch, true
	case "ppc64el", "ppc64le":
		return "ppc64le", true
	case "armhf":
		return "arm", true
	case "i386":
		return "386", true
	}
	return "", false
}
