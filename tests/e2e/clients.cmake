# The drivers of test_gcp_client.py and test_azure_client.py: an API client by lines of JSON. Not ctest tests.
add_executable(gcp-client ${KC_TEST_DIR}/gcp_client.c)
target_link_libraries(gcp-client PRIVATE kc-clouds-gcp)
add_executable(azure-client ${KC_TEST_DIR}/azure_client.c)
target_link_libraries(azure-client PRIVATE kc-clouds-azure)
add_executable(fetch-client ${KC_TEST_DIR}/fetch_client.c)
target_link_libraries(fetch-client PRIVATE kc-net-registry)
