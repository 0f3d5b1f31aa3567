// Package providercharm is the charm of examples/loadbalancer-provider.
//
// It brings what there is in line with what is requested, in every hook: for
// each request it translates the fields into what a distributor driver
// understands (translate.go), runs the driver's flows for what differs
// (balancers.go), and answers. It needs nothing but the requests and the
// driver's own inventory for that, so it does not matter which unit led before,
// or where the last hook was killed: flows have a journal, and those that did
// not come to their end are taken up first.
package providercharm
