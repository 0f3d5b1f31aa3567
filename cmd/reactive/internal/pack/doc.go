// Package pack makes .charm archives from a charmcraft.yaml and a Go module,
// without charmcraft, containers or a network:
//
//	results, err := pack.Pack(ctx, pack.Options{Dir: ".", OutDir: "."})
//	for _, r := range results {
//		fmt.Println(r.Path) // web_amd64.charm, web_arm64.charm
//	}
//
// It reads the charmcraft.yaml that charmcraft itself would read, runs those
// parts that use the plugins go and dump, and so makes the charm that
// charmcraft would make, one for each platform. The Go programs are
// cross-compiled; nothing that a part says is run as a script. The same
// sources give the same bytes.
package pack
