// Package archive writes, checks and unpacks .charm archives: zip files that
// hold metadata.yaml, manifest.yaml and an executable called dispatch.
//
//	var buf bytes.Buffer
//	err := archive.Write(&buf, archive.Files{
//		"metadata.yaml": {Data: metadata},
//		"manifest.yaml": {Data: manifest},
//		"dispatch":      {Data: binary, Executable: true},
//	})
//	zr, err := zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
//	for _, v := range archive.Check(zr) {
//		fmt.Println(v) // endpoint-reserved: endpoint "juju-info": …
//	}
//
// Check knows what Juju 3.6 and Juju 4 refuse when a charm is deployed, each
// as a [Rule] with a name and a sentence, and a few things that Juju takes
// and that then break the charm on its units.
package archive
