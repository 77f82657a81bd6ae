-- From 0.1.0 (test/upgrade/vecdb--0.1.0.sql) to 0.2.0.
\echo Use "ALTER EXTENSION vecdb UPDATE TO '0.2.0'" to load this file. \quit
