// Package promtool judges Prometheus configurations with the promtool that
// came with the deployed server, which knows exactly the fields and kinds of
// service discovery that this server does:
//
//	var validator prometheusmanual.Validator = promcheck.Validator{}
//	if path, err := promtool.Find(); err == nil {
//		validator = promtool.Validator{Path: path}
//	}
//
// A run takes some 20 ms.
package promtool
